/** The rules for EIP-712 domains, and that one is remembered only for its own contents. */
import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { type Eip712DomainMsg, Eip712DomainMsgSchema } from '../../../proto/gen/kms_pb.js';
import { domainSeparator, parseDomain } from '../../../wire/eip712.ts';
import { D0 } from '../../helpers/requests.ts';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/wire/annex-a.json', import.meta.url), 'utf8'));
const NONE = new Uint8Array(0);

t.test('a domain breaks one rule, and the error names the field', async (t) => {
  const cases: [string, Partial<Eip712DomainMsg>][] = [
    ['domain.chain_id', { chainId: new Uint8Array(33) }],
    ['domain.salt', { salt: new Uint8Array(31) }],
    ['domain.salt', { salt: NONE }],
    ['domain.verifying_contract', { verifyingContract: '' }],
    ['domain.verifying_contract', { verifyingContract: '0x66f9664f97f2b50f62d13ea064982f936de76657' }],
  ];
  for (const [field, wrong] of cases) {
    const message = { ...create(Eip712DomainMsgSchema, D0), ...wrong };
    t.throws(() => parseDomain(message), { code: 'REQUEST_INVALID', facts: { field } }, field);
  }
  t.throws(() => parseDomain(undefined), { code: 'REQUEST_INVALID', facts: { field: 'domain' } }, 'missing');
});

t.test('equal contents give one domain object, other contents never', async (t) => {
  const message = (changes: object = {}): Eip712DomainMsg => create(Eip712DomainMsgSchema, { ...D0, ...changes });
  t.equal(parseDomain(message()), parseDomain(message()));
  t.not(parseDomain(message({ name: 'Authorization token"' })), parseDomain(message()));
  t.not(parseDomain(message({ chainId: Uint8Array.of(0, 0x1f, 0x46) })), parseDomain(message()));
  t.equal(
    toHex(domainSeparator(parseDomain(message({ chainId: Uint8Array.of(0, 0x1f, 0x46) })))),
    vectors.domainSeparatorD0,
    'leading zeros of the chain id do not change the separator',
  );
  const empty = parseDomain(message({ name: '', version: '', chainId: NONE }));
  t.equal(toHex(empty.chainId), '0'.repeat(64), 'an empty chain id is zero');
  for (let i = 0; i < 200; i++) parseDomain(message({ name: `domain ${i}` }));
  t.equal(toHex(domainSeparator(parseDomain(message()))), vectors.domainSeparatorD0, 'after many other domains');
});

t.test('a domain keeps no view of the request it came from', async (t) => {
  const salt = new Uint8Array(32).fill(7);
  const domain = parseDomain(create(Eip712DomainMsgSchema, { ...D0, salt, name: 'salted' }));
  salt.fill(9);
  t.equal(domain.salt?.[0], 7);
});
