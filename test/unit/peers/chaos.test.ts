/** Whatever happens to engines, links and records, all meet again. The slow suite has more of it. */
import t from 'tap';
import { runChaos } from '../../helpers/engine-chaos.ts';

t.test('ten changes in a row', (t) => runChaos(t, process.pid, 10));
