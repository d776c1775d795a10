/**
 * The contract of storages on S3, over the unmodified AWS client, against the emulator.
 */
import t from 'tap';
import { startS3 } from '../../helpers/s3.ts';
import { contractTests } from './contract.ts';

t.test('contract', async (t) => contractTests(t, async (t) => (await startS3(t)).open()));
