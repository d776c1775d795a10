/** Room in front of content: found where it is, given once, and nowhere else. */
import t from 'tap';
import { afterRoom, ROOM_BYTES, takeRoom } from '../../../common/room.ts';

t.test('content and its head lie side by side', async (t) => {
  const memory = new Uint8Array(ROOM_BYTES + 100);
  const content = afterRoom(memory).fill(7).subarray(0, 90);
  const whole = takeRoom(content, 15);
  t.equal(whole?.byteLength, 105);
  whole?.fill(1, 0, 15);
  t.ok(
    content.every((byte) => byte === 7),
    'nothing of the content is written over',
  );
  t.equal(memory[ROOM_BYTES - 16], 0, 'nor more of the room than was asked for');
  t.same(whole?.subarray(15), content);
});

t.test('room is given once, until it is offered again', async (t) => {
  const memory = new Uint8Array(ROOM_BYTES + 100);
  const content = afterRoom(memory);
  t.ok(takeRoom(content, ROOM_BYTES));
  t.notOk(takeRoom(content, 1), 'what was written there may wait to be sent');
  t.ok(takeRoom(afterRoom(memory), 1));
});

t.test('there is no room where none is kept', async (t) => {
  const memory = new Uint8Array(ROOM_BYTES + 100);
  const content = afterRoom(memory);
  t.notOk(takeRoom(content, ROOM_BYTES + 1), 'for a head as long as that');
  t.notOk(takeRoom(content.subarray(1), 1), 'in front of a part of the content');
  t.notOk(takeRoom(new Uint8Array(200).subarray(ROOM_BYTES), 1), 'in memory of others');
  t.ok(takeRoom(content, 1), 'and it is still there for the content');
});
