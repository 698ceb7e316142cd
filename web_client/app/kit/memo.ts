/** Memo: a component that is drawn again only when one of its properties is another. */

import { Component, h, type ComponentChildren, type FunctionComponent } from "preact";

/** `same` says whether two sets of properties draw the same; as it is, when each is the same object. */
export function memo<P extends object>(
  drawn: (props: P) => ComponentChildren,
  same: (one: P, other: P) => boolean = equal,
): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !same(this.props as P, next);
    }

    override render() {
      return h(drawn as FunctionComponent<P>, this.props as P);
    }
  }
  return Memo as unknown as FunctionComponent<P>;
}

function equal(one: object, other: object): boolean {
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  return names.every((name) => Object.is(one[name as keyof typeof one], other[name as keyof typeof other]));
}
