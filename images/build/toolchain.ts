/** Which compilers this machine has, against those that {@link TOOLCHAIN} names. */
import { TOOLCHAIN } from './parts.ts';
import { runTool } from './run-tool.ts';

/** First lines of what the compilers say of themselves. */
export type Toolchain = Readonly<Record<keyof typeof TOOLCHAIN, string>>;

const COMMANDS: Toolchain = { rustc: 'rustc', 'c++': 'c++', ld: 'ld', libc: 'ldd' };

/** Asks the compilers; one that is missing is named so. */
export async function readToolchain(): Promise<Toolchain> {
  const ask = async (name: keyof Toolchain): Promise<string> => {
    const text = await runTool(COMMANDS[name], ['--version']).catch(() => 'missing');
    return text.split('\n')[0]?.trim() ?? '';
  };
  const [rustc, cxx, ld, libc] = await Promise.all([ask('rustc'), ask('c++'), ask('ld'), ask('libc')]);
  return { rustc, 'c++': cxx, ld, libc };
}

/** Returns one line for each compiler that is not the pinned one. */
export function otherCompilers(found: Toolchain): readonly string[] {
  return (Object.keys(COMMANDS) as (keyof Toolchain)[])
    .filter((name) => found[name] !== TOOLCHAIN[name])
    .map((name) => `${name} is "${found[name]}" and not "${TOOLCHAIN[name]}"`);
}
