/** The statuses of calls, which are google.rpc codes. */
export const Status = {
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** The name of a status, as in "INVALID_ARGUMENT". */
export type StatusName = keyof typeof Status;

/** A source that could not take part in a merged read. */
export interface SourceFailure {
  source: string;
  /** A status, as in Status. */
  code: number;
  message: string;
}

/** What is known of a failed call beside its status and text. */
export interface ErrorDetails {
  method?: string;
  source?: string;
  failedSources?: readonly SourceFailure[];
}

/** A call failed. */
export class ChatstoreError extends Error {
  override readonly name = "ChatstoreError";
  /** The status by its number; may be one that this client does not know. */
  readonly code: number;
  /** The status by its name. */
  readonly status: StatusName;
  /** The call, as in "GetChatUser"; empty where the client itself failed. */
  readonly method: string;
  /** The source that answered; empty if none did. */
  readonly source: string;
  /** The sources that failed in a merged read. */
  readonly failedSources: readonly SourceFailure[];

  constructor(status: StatusName | number, message: string, details: ErrorDetails = {}) {
    super(message);
    this.code = typeof status === "number" ? status : Status[status];
    this.status = statusName(this.code);
    this.method = details.method ?? "";
    this.source = details.source ?? "";
    this.failedSources = details.failedSources ?? [];
  }
}

/** The name of a status; "UNKNOWN" for a number that has none. */
export function statusName(code: number): StatusName {
  for (const name of Object.keys(Status) as StatusName[]) {
    if (Status[name] === code) {
      return name;
    }
  }
  return "UNKNOWN";
}

/** The connection could not be made, or broke; never seen by callers. */
export class Lost extends Error {
  /** @param sent - whether the server may have got the request */
  constructor(
    message: string,
    readonly sent: boolean,
  ) {
    super(message);
  }
}
