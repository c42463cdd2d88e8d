/** Where the documentation is; build.js knows. */
declare const DOCS: string;
