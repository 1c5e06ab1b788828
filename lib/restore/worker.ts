/** A writing thread: takes tasks one after another and answers each. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Task } from './task.js';
import { Writer, type WriterStart } from './writer.js';

const port = parentPort;
if (port !== null) {
  const writer = new Writer(workerData as WriterStart);
  port.on('message', (task: Task | undefined) => {
    if (task === undefined) {
      writer.close();
      port.close();
      return;
    }
    try {
      port.postMessage({ result: writer.run(task) });
    } catch (error) {
      port.postMessage({ error });
    }
  });
}
