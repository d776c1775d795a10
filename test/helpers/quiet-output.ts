/** An output that says nothing, for what a test starts beside what it looks at. */
import { createOutput } from '../../parent/cli/framework/output.ts';

const nowhere = { write: () => true };

/** Silent. */
export const QUIET = createOutput({ json: false, stdout: nowhere, stderr: nowhere });
