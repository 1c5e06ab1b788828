/** Options of a selection that must leave nothing out: what does not open fails the test. */
import type { SelectOptions } from '../../lib/ledger/select.js';

export const strictly: SelectOptions = {
  onLeftOut: ({ error }) => {
    throw error;
  },
};
