/**
 * What leaves an engine for a ciphertext is always the same masked share: under another request id, in another batch, at
 * another position, after a restart, and from any copy of its vault, a clone's or one that was rolled back.
 */
import t from 'tap';
import { unixDial, unixTransport } from '../../../attestation/mesh/transport-unix.ts';
import { decodeEpochData } from '../../../enclave/contexts/epoch-data.ts';
import type { ThresholdOptions } from '../../../enclave/engine-options.ts';
import { openPeerNetwork, type PeerNetwork } from '../../../enclave/peers/peer-network.ts';
import { decodeFrame } from '../../../enclave/threshold/quorum-frame.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { KeyShares, MaskKeys, partialDecrypt } from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, idBytes, parseRequestId } from '../../../wire/ids.ts';
import { publicDecryption } from '../../helpers/party-requests.ts';
import { present } from '../../helpers/present.ts';
import { askPublicly, dealKey } from '../../helpers/quorum-decryptions.ts';
import { type QuorumEngineStart, type QuorumEngines, quorumEngines, settled } from '../../helpers/quorum-engines.ts';
import { idOf } from '../../helpers/requests.ts';

const KEY = parseRequestId(idOf(2));
const UINT64 = 5;
/** Of an euint64: four elements. */
const SHARE_BYTES = 256;

/** Starts a party so that its decryption shares are seen as they go out to party 2. */
function tapped(quorum: QuorumEngines, seen: Uint8Array[]): QuorumEngineStart {
  const endpoint = (party: number): string => present(present(quorum.record.parties[party - 1]).endpoint);
  const network: ThresholdOptions['network'] = async (options) => {
    const opened = await openPeerNetwork({ ...options, transport: unixTransport(endpoint(1)), dial: unixDial });
    const channel: PeerNetwork['channel'] = (name) => {
      const inner = opened.channel(name);
      if (!name.startsWith('quorum/')) return inner;
      const send = (to: number, frame: Uint8Array): Promise<void> => {
        for (const entry of decodeFrame(frame)) {
          if (to === 2 && entry.what === 'shares') seen.push(Uint8Array.from(entry.shares));
        }
        return inner.send(to, frame);
      };
      return { ...inner, send };
    };
    return new Proxy(opened, {
      get: (target, property) => {
        if (property === 'channel') return channel;
        const value: unknown = Reflect.get(target, property, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  return { quorum: { network } };
}

/** A copy of what a vault holds now of epochs and keys. */
async function copyOf(storage: Storage): Promise<Storage> {
  const copy = openMemoryStorage();
  for (const path of [
    ['EpochData', DEFAULT_EPOCH_ID],
    ['FheKeyInfo', DEFAULT_EPOCH_ID, KEY],
  ]) {
    await copy.put(path, await storage.get(path));
  }
  return copy;
}

/** What an engine with that vault answers for a ciphertext. */
async function answerOf(storage: Storage, ciphertext: Uint8Array): Promise<Uint8Array> {
  const vault = new PrivateVault(clearKeeper(storage));
  const ids = { contextId: idBytes(DEFAULT_CONTEXT_ID), epochId: idBytes(DEFAULT_EPOCH_ID), keyId: idBytes(KEY) };
  return await vault.read(['EpochData', DEFAULT_EPOCH_ID], (epoch) =>
    vault.read(['FheKeyInfo', DEFAULT_EPOCH_ID, KEY], async (content) => {
      using masks = MaskKeys.fromKeys(decodeEpochData(epoch));
      using shares = KeyShares.fromBytes(content);
      const items = [{ ciphertext, fheType: UINT64, format: 2 }];
      return present((await partialDecrypt({ shares, masks, ...ids, items }))[0]);
    }),
  );
}

t.test('one ciphertext has one masked share', async (t) => {
  const quorum = quorumEngines(t, 4);
  const seen: Uint8Array[] = [];
  const [first, ...others] = await Promise.all(
    quorum.parties.map((party) => quorum.start(party, party === 1 ? tapped(quorum, seen) : {})),
  );
  const engines = [present(first), ...others];
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const storage = present(quorum.storages.get(1));
  const old = await copyOf(storage);

  const [one, two] = await Promise.all([evaluation.encrypt(7n, UINT64, 2), evaluation.encrypt(7n, UINT64, 2)]);
  const ask = async (all: readonly Uint8Array[]): Promise<Uint8Array[]> => {
    seen.length = 0;
    await askPublicly(
      engines,
      publicDecryption(
        KEY,
        all.map((ciphertext) => ({ ciphertext, fheType: UINT64 })),
      ),
    );
    // An opening of zero, as after a restart, is shorter.
    const sent = present(seen.find(({ byteLength }) => byteLength === all.length * SHARE_BYTES));
    return all.map((_, index) => sent.subarray(index * SHARE_BYTES, (index + 1) * SHARE_BYTES));
  };
  const [share] = await ask([one]);
  t.equal(share?.byteLength, SHARE_BYTES);
  t.strictSame((await ask([one]))[0], share, 'under another id');
  const [other, again, twice] = await ask([two, one, one]);
  t.strictSame([again, twice], [share, share], 'at other places of a batch');
  t.notSame(other, share, 'another encryption of the number has another mask');

  engines[0] = await quorum.restart(present(engines[0]), tapped(quorum, seen));
  t.strictSame((await ask([two, one]))[1], share, 'after a restart');
  t.strictSame(await answerOf(await copyOf(storage), one), share, 'from a clone of the vault');
  t.strictSame(await answerOf(old, one), share, 'from a vault that was rolled back');

  const changed = one.slice();
  changed[one.byteLength - 400] = (changed[one.byteLength - 400] ?? 0) ^ 1;
  const masked = await answerOf(old, changed);
  const differs = Array.from({ length: SHARE_BYTES / 16 }, (_, word) => {
    const at = word * 16;
    return Buffer.compare(masked.subarray(at, at + 16), present(share).subarray(at, at + 16)) !== 0;
  });
  t.ok(differs.every(Boolean), 'one changed bit changes every word of every element');
});
