/** What build.js compresses and puts into the page as text. */
declare module 'packed:examples' {
  const text: string;
  export default text;
}
declare module 'packed:module' {
  const text: string;
  export default text;
}
