/** A type as JSON has it: the strings of an enum in place of its members. */
export type Plain<T> = 0 extends 1 & T
  ? any
  : T extends string
    ? `${T}`
    : T extends readonly (infer Item)[]
      ? Plain<Item>[]
      : T extends object
        ? { [Key in keyof T]: Plain<T[Key]> }
        : T;
