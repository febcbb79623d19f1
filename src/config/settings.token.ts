/** Injects the validated settings. */
export const SETTINGS_TOKEN = Symbol('settings');
