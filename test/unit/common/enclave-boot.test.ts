import fc from 'fast-check';
import t from 'tap';
import {
  BOOT_DOCUMENT_MAX_BYTES,
  type BootDocument,
  decodeBootDocument,
  encodeBootDocument,
  readBootLength,
} from '../../../common/enclave-boot.ts';

const bytes = fc.uint8Array({ minLength: 1, maxLength: 64 });
const documents: fc.Arbitrary<BootDocument> = fc
  .record({
    node: fc.string({ unit: 'grapheme' }),
    charter: bytes,
    record: fc.option(bytes, { nil: undefined }),
    releases: fc.option(bytes, { nil: undefined }),
    developer: fc.option(fc.record({ root: bytes, authorities: fc.string() }), { nil: undefined }),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as never);

const plain: BootDocument = { node: 'developer_mode = false', charter: Uint8Array.of(1, 2, 3) };
const json = (text: string): Uint8Array => new TextEncoder().encode(text);
const PLAIN = '{"format":1,"node":"developer_mode = false","charter":"AQID"}';

t.test('a boot document comes out as it went in', async (t) => {
  fc.assert(
    fc.property(documents, (document) => {
      const wire = encodeBootDocument(document);
      t.equal(readBootLength(wire), wire.byteLength - 4, 'the length is that of the rest');
      t.same(decodeBootDocument(wire.subarray(4)), document, 'the document');
    }),
    { numRuns: 200 },
  );
});

t.test('the published form of a document is read', async (t) => {
  t.same(decodeBootDocument(json(PLAIN)), plain, 'the document');
  t.equal(Buffer.from(encodeBootDocument(plain).subarray(4)).toString(), PLAIN, 'and written');
});

t.test('anything but the canonical form is refused, and says which field is at fault', async (t) => {
  const refused = (text: string, message: RegExp): void => {
    t.throws(() => decodeBootDocument(json(text)), { code: 'REQUEST_INVALID', message }, text.slice(0, 60));
  };
  refused('', /not JSON/);
  refused('[]', /must be an object/);
  refused('null', /must be an object/);
  refused('{"format":2,"node":"","charter":"AQID"}', /format must be 1/);
  refused('{"format":1,"charter":"AQID"}', /node must be a text/);
  refused('{"format":1,"node":"","charter":""}', /charter must be base64/);
  refused('{"format":1,"node":"","charter":"A*"}', /charter must be base64/);
  refused('{"format":1,"node":"","charter":"AQI"}', /canonical/);
  refused('{"format":1,"node":"","charter":"AQID","cmdline":"x"}', /1 unknown fields/);
  refused('{"format":1,"node":"","node":"","charter":"AQID"}', /canonical/);
  refused(`${PLAIN} `, /canonical/);
  refused('{"node":"","format":1,"charter":"AQID"}', /canonical/);
  refused('{"format":1,"node":"","charter":"AQID","record":null}', /record must be a text/);
  refused('{"format":1,"node":"","charter":"AQID","developer":{"root":"AQID"}}', /authorities must be a text/);
  refused('{"format":1,"node":"\\ud800","charter":"AQID"}', /node must be a text/);
  t.throws(() => decodeBootDocument(Uint8Array.of(0x22, 0xff, 0x22)), { message: /not JSON/ }, 'no UTF-8');
});

t.test('a size above the limit is refused before anything of that size is made', async (t) => {
  const header = new Uint8Array(4);
  new DataView(header.buffer).setUint32(0, BOOT_DOCUMENT_MAX_BYTES + 1);
  t.throws(() => readBootLength(header), {
    code: 'REQUEST_INVALID',
    facts: { sizeBytes: BOOT_DOCUMENT_MAX_BYTES + 1 },
  });
  t.throws(() => readBootLength(new Uint8Array(4)), { code: 'REQUEST_INVALID', message: /empty/ }, 'and an empty one');
  const large = { ...plain, node: '#'.repeat(BOOT_DOCUMENT_MAX_BYTES) };
  t.throws(() => encodeBootDocument(large), { code: 'REQUEST_INVALID' }, 'nor is one written');
});

t.test('no bytes crash the reader', async (t) => {
  const broken = fc
    .tuple(documents, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }))
    .map(([document, edits]) => {
      const wire = encodeBootDocument(document).slice(4);
      for (const [at, value] of edits) wire[at % wire.byteLength] = value;
      return wire;
    });
  fc.assert(
    fc.property(broken, (wire) => {
      try {
        decodeBootDocument(wire);
      } catch (error) {
        t.match(error, { code: 'REQUEST_INVALID' });
      }
    }),
    { numRuns: 500 },
  );
  t.pass('500 documents');
});
