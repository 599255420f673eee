/** The version of all programs; equal to package.json's (a test says so). */
export const VERSION = "0.1.0";
