/** A type that is told apart by its name alone, so that a lease id is never passed as a member. */
export type Branded<T, Name extends string> = T & { readonly __brand: Name };
