/**
 * What request handlers tell the metrics, in plain numbers: counting costs an addition, text is made at scrape time.
 *
 * Names and buckets are those of the published KMS (spec 10). No label holds an id or anything a user sent.
 */

/** The operations of the published KMS that a Core may count. */
export const OPERATIONS = [
  'boot',
  'system_startup',
  'keygen_request',
  'keygen_result',
  'keygen_abort',
  'insecure_keygen_request',
  'insecure_keygen_result',
  'keygen_preproc_request',
  'keygen_preproc_result',
  'insecure_keygen_preproc_request',
  'insecure_keygen_preproc_result',
  'standard_keygen',
  'standard_compressed_keygen',
  'decompression_keygen',
  'decompression_compressed_keygen',
  'insecure_standard_keygen',
  'insecure_compressed_keygen',
  'insecure_standard_compressed_keygen',
  'insecure_decompression_keygen',
  'public_decrypt_request',
  'public_decrypt_result',
  'public_decrypt_inner',
  'user_decrypt_request',
  'user_decrypt_result',
  'user_decrypt_inner',
  'crs_gen_request',
  'crs_gen_result',
  'crs_gen_abort',
  'insecure_crs_gen_request',
  'insecure_crs_gen_result',
  'new_mpc_context',
  'destroy_mpc_context',
  'new_custodian_context',
  'destroy_custodian_context',
  'custodian_backup_recovery',
  'custodian_recovery_init',
  'restore_from_backup',
  'key_material_availability',
  'new_mpc_epoch',
  'destroy_mpc_epoch',
  'get_mpc_epoch_result',
  'fetch_pk',
] as const;

/** One of {@link OPERATIONS}. */
export type Operation = (typeof OPERATIONS)[number];

/** Gauges whose value a component reads out when asked. */
export const GAUGES = [
  'kms_rate_limiter_usage',
  'kms_tasks',
  'kms_fhe_key_cache_size',
  'kms_meta_storage_user_decryptions',
  'kms_meta_storage_pub_decryptions',
  'kms_meta_storage_user_decryptions_in_store',
  'kms_meta_storage_pub_decryptions_in_store',
  'kms_quorum_line_requests',
] as const;

/** One of {@link GAUGES}. */
export type Gauge = (typeof GAUGES)[number];

/** The Core's metrics, as request handlers see them. All of these are cheap enough for every request. */
export interface CoreMetrics {
  /** Counts one operation. */
  operation(name: Operation): void;
  /** Counts one failure of an operation under the published word for its error. */
  error(name: Operation, error: unknown): void;
  /** Records how long an operation took. `tfheType` is a name such as `euint64`, never text a user sent. */
  observeMs(name: Operation, ms: number, tfheType?: string): void;
  /** Records the size of an operation's request. */
  payload(name: Operation, sizeBytes: number): void;
  /** Names the function that reads a gauge at scrape time. */
  gauge(name: Gauge, read: () => number): void;
}
