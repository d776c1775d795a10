/**
 * The `arca` command line: the tree of its commands. Each command loads what it does only when it runs, so that
 * help and completion stay quick.
 */
import type { Command } from '@commander-js/extra-typings';
import { attestCommand } from './commands/attest.ts';
import { backupCommand } from './commands/backup.ts';
import { charterCommand } from './commands/charter.ts';
import { completionCommand } from './commands/completion.ts';
import { configCommand } from './commands/config.ts';
import { contextCommand } from './commands/context.ts';
import { crsCommand } from './commands/crs.ts';
import { custodianCommand } from './commands/custodian.ts';
import { custodianContextCommand } from './commands/custodian-context.ts';
import { decryptCommand } from './commands/decrypt.ts';
import { devCommand } from './commands/dev.ts';
import { doctorCommand } from './commands/doctor.ts';
import { encryptCommand } from './commands/encrypt.ts';
import { epochCommand } from './commands/epoch.ts';
import { imageCommand } from './commands/image.ts';
import { importCommand } from './commands/import.ts';
import { keyCommand } from './commands/key.ts';
import { kmsCommand } from './commands/kms.ts';
import { logsCommand } from './commands/logs.ts';
import { nodeCommand } from './commands/node.ts';
import { peersCommand } from './commands/peers.ts';
import { proposalCommand } from './commands/proposal.ts';
import { quorumCommand } from './commands/quorum.ts';
import { recordCommand } from './commands/record.ts';
import { recoveryCommand } from './commands/recovery.ts';
import { releaseCommand } from './commands/release.ts';
import { restoreCommand } from './commands/restore.ts';
import { runCommand } from './commands/run.ts';
import { startCommand } from './commands/start.ts';
import { statusCommand } from './commands/status.ts';
import { upgradeCommand } from './commands/upgrade.ts';
import { vaultCommand } from './commands/vault.ts';
import { verifyCommand } from './commands/verify.ts';
import { versionCommand } from './commands/version.ts';
import { createCommand } from './framework/command.ts';

/** Builds the whole tree of commands. */
export function createProgram(): Command {
  const program = createCommand(
    'arca',
    'Key management for TFHE keys: run a node, make keys, encrypt, decrypt, verify.',
    [
      'arca start                         # a node and a guided first run',
      'arca dev --dir ./my-node           # a node to work with',
      'arca encrypt --type euint64 42 --out answer.ct',
      'arca decrypt answer.ct',
    ],
  );
  program.addHelpText('after', 'Exit codes: 0 ok, 1 failed, 2 wrong usage. Documentation: docs/cli.md');
  for (const command of [
    startCommand(),
    devCommand(),
    nodeCommand(),
    runCommand(),
    logsCommand(),
    statusCommand(),
    keyCommand(),
    crsCommand(),
    importCommand(),
    encryptCommand(),
    decryptCommand(),
    verifyCommand(),
    attestCommand(),
    peersCommand(),
    contextCommand(),
    epochCommand(),
    quorumCommand(),
    vaultCommand(),
    backupCommand(),
    restoreCommand(),
    charterCommand(),
    recordCommand(),
    proposalCommand(),
    releaseCommand(),
    imageCommand(),
    upgradeCommand(),
    custodianCommand(),
    custodianContextCommand(),
    recoveryCommand(),
    kmsCommand(),
    doctorCommand(),
    configCommand(),
    versionCommand(),
    completionCommand(createProgram),
  ]) {
    program.addCommand(command);
  }
  return program;
}
