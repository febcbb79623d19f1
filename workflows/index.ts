export { accountNotifications } from './account-notifications.workflow.js';
export { batchWindow } from './batch-window.workflow.js';
export { delivery } from './delivery.workflow.js';
export { endpointCredentials, endpointHealth, endpointVerification } from './endpoint-watch.workflow.js';
