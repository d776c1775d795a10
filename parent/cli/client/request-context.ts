/**
 * What the options of a request say: domain, extra data, and where it is carried out.
 */
import { readDomain, readHex } from './domain.ts';
import type { DomainOptions } from './domain-options.ts';
import type { RequestContext } from './keys.ts';
import { readPlace } from './place.ts';
import type { PlaceOptions } from './place-options.ts';

/** Reads the options. @throws {@link KmsError} with exit code 2 for what is no domain, no bytes or no id. */
export function readContext(options: DomainOptions & PlaceOptions & { readonly extraData: string }): RequestContext {
  return {
    domain: readDomain(options),
    extraData: readHex(options.extraData, '--extra-data'),
    place: readPlace(options),
  };
}
