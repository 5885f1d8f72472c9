/** Where the console is, with its last slash: a proxy in front may have added a prefix. */
export const CONSOLE_ADDRESS = new URL(".", document.baseURI);

/** Where the gateway's API is. */
export const API_ADDRESS = new URL("..", CONSOLE_ADDRESS);
