/** The client's checks: an honest node's answers open, every lie is refused by name. */
import { clone } from '@bufbuild/protobuf';
import t from 'tap';
import {
  type PublicDecryptionResponse,
  PublicDecryptionResponseSchema,
  type UserDecryptionResponse,
  UserDecryptionResponseSchema,
} from '../../../proto/gen/kms_pb.js';
import { FHE_TYPES } from '../../../wire/fhe-types.ts';
import { parsePublicDecryption, parseUserDecryption } from '../../../wire/validate/decryption.ts';
import {
  type ExpectedAnswer,
  type ExpectedUserAnswer,
  verifyPublicDecryption,
  verifyUserDecryption,
} from '../../../wire/verify-response.ts';
import { present } from '../../helpers/present.ts';
import { handleOf, publicDecryptionRequest, userDecryptionRequest } from '../../helpers/requests.ts';
import {
  ciphertexts,
  extraData,
  flip,
  handles,
  node,
  otherNode,
  plaintexts,
  user,
  userRequest,
} from './honest-answers.ts';

const untrusted = { code: 'REQUEST_INVALID', message: /not to be trusted/ };
const publicRequest = parsePublicDecryption(publicDecryptionRequest({ ciphertexts, extraData }));
const expected: ExpectedAnswer = { domain: publicRequest.domain, handles, extraData, signer: node.address };

const expectedByUser: ExpectedUserAnswer = {
  ...expected,
  clientAddress: userRequest.clientAddress,
  encKey: user.encKey,
  seed: user.seed,
};

t.test('an honest public decryption gives its plaintexts', async (t) => {
  const response = node.answerPublic(publicRequest, plaintexts);
  t.same(verifyPublicDecryption(response, { ...expected, requestId: publicRequest.requestId }), plaintexts);
});

t.test('a public decryption that lies is refused', async (t) => {
  const honest = node.answerPublic(publicRequest, plaintexts);
  const lie = (change: (response: PublicDecryptionResponse) => void): PublicDecryptionResponse => {
    const response = clone(PublicDecryptionResponseSchema, honest);
    change(response);
    return response;
  };
  const payload = (response: PublicDecryptionResponse) => present(response.payload);
  const lies: [string, PublicDecryptionResponse][] = [
    ['no payload', lie((r) => delete r.payload)],
    [
      'another plaintext',
      lie((r) => {
        present(payload(r).plaintexts[1]).bytes = new Uint8Array(8);
      }),
    ],
    [
      'another type',
      lie((r) => {
        present(payload(r).plaintexts[0]).fheType = 2;
      }),
    ],
    [
      'a wider plaintext',
      lie((r) => {
        present(payload(r).plaintexts[0]).bytes = new Uint8Array(2);
      }),
    ],
    [
      'a plaintext less',
      lie((r) => {
        payload(r).plaintexts.pop();
      }),
    ],
    [
      'other extra data',
      lie((r) => {
        r.extraData = new Uint8Array(0);
      }),
    ],
    [
      'external signature changed',
      lie((r) => {
        r.externalSignature = flip(r.externalSignature, 3);
      }),
    ],
    [
      'internal signature changed',
      lie((r) => {
        r.signature = flip(r.signature);
      }),
    ],
    [
      'no internal signature',
      lie((r) => {
        r.signature = new Uint8Array(0);
      }),
    ],
    [
      'key of another node',
      lie((r) => {
        payload(r).verificationKey = present(otherNode.answerPublic(publicRequest, plaintexts).payload).verificationKey;
      }),
    ],
    [
      'another request id',
      lie((r) => {
        payload(r).requestId = present(publicDecryptionRequest().keyId);
      }),
    ],
    ['another node', otherNode.answerPublic(publicRequest, plaintexts)],
  ];
  for (const [why, response] of lies) {
    t.throws(
      () => verifyPublicDecryption(response, { ...expected, requestId: publicRequest.requestId }),
      { code: 'REQUEST_INVALID' },
      why,
    );
  }
  t.throws(
    () => verifyPublicDecryption(honest, { ...expected, handles: [...handles].reverse() }),
    untrusted,
    'handles',
  );
});

t.test('an honest user decryption opens for every type', async (t) => {
  for (const type of FHE_TYPES) {
    const value = { bytes: new Uint8Array(type.sizeBytes).fill(type.number === 0 ? 1 : 0xab), fheType: type.number };
    const request = parseUserDecryption(
      userDecryptionRequest({ typedCiphertexts: [{ externalHandle: handleOf(1) }], encKey: user.encKey, extraData }),
    );
    const response = node.answerUser(request, node.userPayload(request, [value]));
    t.same(verifyUserDecryption(response, { ...expectedByUser, handles: [handleOf(1)] }), [value], type.name);
  }
});

t.test('a user decryption that lies is refused', async (t) => {
  const payload = node.userPayload(userRequest, plaintexts);
  const honest = node.answerUser(userRequest, payload);
  t.same(verifyUserDecryption(honest, expectedByUser), plaintexts);
  const [first, second] = payload.signcryptedCiphertexts.map((item) => present(item));
  if (first === undefined || second === undefined) throw new Error('two items were made');
  const change = (edit: (response: UserDecryptionResponse) => void): UserDecryptionResponse => {
    const response = clone(UserDecryptionResponseSchema, honest);
    edit(response);
    return response;
  };
  const resigned = (changes: Partial<typeof payload>): UserDecryptionResponse =>
    node.answerUser(userRequest, { ...payload, ...changes });
  const items = (...list: (typeof first)[]) => ({ signcryptedCiphertexts: list });
  const lies: [string, UserDecryptionResponse][] = [
    ['no payload', change((r) => delete r.payload)],
    [
      'other extra data',
      change((r) => {
        r.extraData = new Uint8Array(0);
      }),
    ],
    [
      'external signature changed',
      change((r) => {
        r.externalSignature = flip(r.externalSignature, 3);
      }),
    ],
    [
      'internal signature changed',
      change((r) => {
        r.signature = flip(r.signature);
      }),
    ],
    ['another node', otherNode.answerUser(userRequest, otherNode.userPayload(userRequest, plaintexts))],
    ['another link', resigned({ digest: flip(payload.digest) })],
    ['party 2', resigned({ partyId: 2 })],
    ['degree 1', resigned({ degree: 1 })],
    ['an item less', resigned(items(first))],
    ['items swapped', resigned(items(second, first))],
    ['another packing factor', resigned(items({ ...first, packingFactor: 2 }, second))],
    ['another type beside the same plaintext', resigned(items({ ...first, fheType: 2 }, second))],
    ['another handle', resigned(items({ ...first, externalHandle: handleOf(9) }, second))],
  ];
  for (const [why, response] of lies) {
    t.throws(() => verifyUserDecryption(response, expectedByUser), { code: 'REQUEST_INVALID' }, why);
  }
  const broken = resigned(items({ ...first, signcryptedCiphertext: flip(first.signcryptedCiphertext) }, second));
  t.throws(() => verifyUserDecryption(broken, expectedByUser), { code: 'CIPHERTEXT_INVALID' }, 'ciphertext changed');
});
