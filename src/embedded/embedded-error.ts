export type EmbeddedErrorCode =
  | 'data_folder_in_use'
  | 'ui_port_taken'
  | 'temporal_cli_not_found'
  | 'test_server_not_found'
  | 'postgres_binaries_not_found'
  | 'postgres_user_missing'
  | 'postgres_folder_unreachable'
  | 'server_start_failed';

/** What keeps the embedded servers from starting; the message is for the person at the terminal and says what to do. */
export class EmbeddedError extends Error {
  constructor(
    readonly code: EmbeddedErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'EmbeddedError';
  }
}
