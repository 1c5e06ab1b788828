/** An error of another process of ours, as it reported it: message, code and exit status are already decided. */
export interface ErrorReport {
  readonly message: string;
  /** The error's stable name, such as MOUNT. */
  readonly error: string;
  /** Exit status. */
  readonly code: number;
}

export class ReportedError extends Error {
  readonly code: string;
  readonly status: number;

  constructor(report: ErrorReport) {
    super(report.message);
    this.name = 'ReportedError';
    this.code = report.error;
    this.status = report.code;
  }
}
