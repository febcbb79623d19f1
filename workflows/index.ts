export { delivery } from './delivery.workflow.js';
