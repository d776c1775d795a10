/**
 * The pipe between a process and its supervisor: it carries nothing, its end is the message.
 */
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';

/** Descriptor of the pipe whose other end the supervisor holds. */
const SUPERVISOR_FD = 3;

/** Calls `onGone` when the other end of the supervisor's pipe closes. Without such a pipe nobody is watched. */
export function watchSupervisor(onGone: () => void): void {
  const inherited = fstatSync(SUPERVISOR_FD);
  // Started by hand, descriptor 3 is the event loop's own and neither a pipe nor a socket.
  if (!inherited.isFIFO() && !inherited.isSocket()) return;
  const pipe = new Socket({ fd: SUPERVISOR_FD, readable: true, writable: false });
  pipe.on('close', onGone);
  pipe.on('error', () => pipe.destroy());
  pipe.resume();
}
