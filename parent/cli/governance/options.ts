/**
 * Options that the commands of governance share.
 */
import { Option } from '@commander-js/extra-typings';

/** `--out FILE`, for commands that write a new object. */
export const outOption = () => new Option('--out <file>', 'file to write; never replaces one').makeOptionMandatory();

/** `--force`, beside `--out`. */
export const forceOption = () => new Option('--force', 'replace the file of --out if it is there');

/** `--key FILE`, for commands that sign. */
export const keyOption = () =>
  new Option('--key <file>', 'PEM file with your Ed25519 private key, readable by you alone').makeOptionMandatory();

/** `--charter FILE`, where governance keys and network come from. */
export const charterOption = () => new Option('--charter <file>', 'charter of any party of the network');

/** `--record FILE`, where release keys come from. */
export const recordOption = () => new Option('--record <file>', 'governed record in force');

/** Collects an option that may be given again and again. */
export function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}
