/** Names of the ciphertext formats as options and files have them, by number. */
export const FORMAT_NAMES = ['small-compressed', 'small-expanded', 'big-compressed', 'big-expanded'] as const;
