/** What the person typed, or left out, cannot be done: exit status 2. The message says what would be right. */
export class UsageError extends Error {
  readonly code = 'USAGE';

  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
