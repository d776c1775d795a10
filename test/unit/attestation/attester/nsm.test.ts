import t from 'tap';
import type { NsmTransport } from '../../../../attestation/attester/attester.ts';
import { openNsm } from '../../../../attestation/attester/nsm.ts';
import { decodeNsmRequest, encodeNsmResponse, nsmError } from '../../../../attestation/attester/nsm-codec.ts';
import type { NsmRequest, NsmResponse } from '../../../../attestation/attester/nsm-messages.ts';

/** A device that answers from a function, and what it was asked. */
function scripted(answer: (request: NsmRequest) => NsmResponse) {
  const asked: NsmRequest[] = [];
  let closed = 0;
  const transport: NsmTransport = {
    request: async (cbor) => {
      const request = decodeNsmRequest(cbor);
      if (request.kind === 'Error') throw new Error(`the client wrote what no device reads: ${request.error}`);
      asked.push(request);
      return encodeNsmResponse(answer(request));
    },
    close: () => {
      closed++;
    },
  };
  return { nsm: openNsm(transport, 'nsm'), asked, closed: () => closed };
}

t.test('each operation asks the device once and returns what it said', async (t) => {
  const value = new Uint8Array(48).fill(3);
  const { nsm, asked, closed } = scripted((request) => {
    switch (request.kind) {
      case 'DescribeNSM':
        return {
          kind: request.kind,
          version: [1, 2, 3],
          moduleId: 'i-1',
          maxPcrs: 32,
          lockedPcrs: [0],
          digest: 'SHA384',
        };
      case 'GetRandom':
        return { kind: request.kind, random: Uint8Array.of(9) };
      case 'DescribePCR':
        return { kind: request.kind, lock: false, data: value };
      case 'ExtendPCR':
        return { kind: request.kind, data: value };
      case 'Attestation':
        return { kind: request.kind, document: Uint8Array.of(1, 2) };
      default:
        return { kind: request.kind };
    }
  });
  t.strictSame(await nsm.describe(), {
    moduleId: 'i-1',
    maxPcrs: 32,
    lockedPcrs: [0],
    digest: 'SHA384',
    version: '1.2.3',
  });
  t.strictSame(await nsm.random(), Uint8Array.of(9));
  t.strictSame(await nsm.describePcr(5), { locked: false, value });
  t.strictSame(await nsm.extendPcr(16, Uint8Array.of(4)), value);
  t.equal(await nsm.lockPcr(16), undefined);
  t.equal(await nsm.lockPcrs(32), undefined);
  t.strictSame(await nsm.attest({ nonce: Uint8Array.of(7) }), Uint8Array.of(1, 2));
  t.strictSame(
    asked.map(({ kind }) => kind),
    ['DescribeNSM', 'GetRandom', 'DescribePCR', 'ExtendPCR', 'LockPCR', 'LockPCRs', 'Attestation'],
  );
  t.equal(nsm.kind, 'nsm');
  nsm.close();
  t.equal(closed(), 1, 'closing closes the transport');
});

t.test('a refusal becomes an error with the device’s own word', async (t) => {
  for (const [deviceError, code] of [
    ['InvalidArgument', 'REQUEST_INVALID'],
    ['InvalidIndex', 'REQUEST_INVALID'],
    ['InputTooLarge', 'REQUEST_INVALID'],
    ['ReadOnlyIndex', 'STATE_INVALID'],
    ['InvalidOperation', 'UNIMPLEMENTED'],
    ['InternalError', 'UNAVAILABLE'],
    ['BufferTooSmall', 'UNAVAILABLE'],
    ['InvalidResponse', 'UNAVAILABLE'],
  ] as const) {
    const { nsm } = scripted(() => nsmError(deviceError));
    await t.rejects(nsm.lockPcr(1), { code, facts: { request: 'LockPCR', deviceError } }, deviceError);
  }
});

t.test('an answer to another request, or half a register, is refused', async (t) => {
  const { nsm } = scripted(() => ({ kind: 'ExtendPCR', data: new Uint8Array(32) }));
  await t.rejects(nsm.attest({}), { code: 'ATTESTATION_INVALID', facts: { answered: 'ExtendPCR' } });
  await t.rejects(nsm.extendPcr(16, new Uint8Array(1)), { code: 'ATTESTATION_INVALID', facts: { got: 32 } });
});

t.test('fields that are too long are all named, before the device is asked', async (t) => {
  const { nsm, asked } = scripted(() => ({ kind: 'Attestation', document: new Uint8Array(1) }));
  const long = { publicKey: new Uint8Array(1025), userData: new Uint8Array(513), nonce: new Uint8Array(513) };
  await t.rejects(nsm.attest(long), {
    code: 'REQUEST_INVALID',
    facts: { publicKey: 1025, userData: 513, nonce: 513 },
  });
  t.equal(asked.length, 0);
  await nsm.attest({ publicKey: new Uint8Array(1024), userData: new Uint8Array(512), nonce: new Uint8Array(512) });
  t.equal(asked.length, 1, 'the longest fields are served');
});
