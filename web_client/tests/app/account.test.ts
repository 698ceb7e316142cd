/** Accounts and routes: who somebody is by their token, and what a path shows. */

import { expect, test } from "vitest";
import { storeOf } from "../../app/account/account.js";
import { fromName, fromToken } from "../../app/account/arrival.js";
import { pathOf, routeOf } from "../../app/routes.js";

const jwt = (claims: object) =>
  `x.${btoa(unescape(encodeURIComponent(JSON.stringify(claims))))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")}.y`;

test("a name is an account of a server in development mode", () => {
  expect(fromName(" Mona Lisa ")).toMatchObject({ subject: "user:mona-lisa", token: "dev:mona-lisa" });
  for (const bad of ["", "  ", "a:b", "-x", "a/b", "x".repeat(80)]) expect(fromName(bad)).toBeNull();
});

test("a token says whose it is", () => {
  expect(fromToken(jwt({ sub: "user:ana", name: "Ana Lópes" }))).toMatchObject({
    subject: "user:ana",
    name: "Ana Lópes",
  });
  expect(fromToken(jwt({ sub: "user:ana" }))?.name).toBe("ana");
  for (const bad of ["", "x.y.z", jwt({ sub: 7 }), jwt({}), "a.b"]) expect(fromToken(bad)).toBeNull();
});

test("each person has a store of their own in this browser", () => {
  expect(storeOf(fromName("ana")!)).not.toBe(storeOf(fromName("mona")!));
});

test("a path names a session, a message in it, or an invitation", () => {
  expect(routeOf({ pathname: "/s/trip-1", search: "?m=abc", hash: "" })).toEqual({
    session: "trip-1",
    message: "abc",
    invite: "",
  });
  expect(routeOf({ pathname: "/", search: "", hash: "#invite=a%2Bb" })).toEqual({
    session: "",
    message: "",
    invite: "a+b",
  });
  for (const pathname of ["/s/", "/s/a/b", "/s/a//", "/s/a%20b", "/s/..%2f", "/x"])
    expect(routeOf({ pathname, search: "", hash: "" }).session).toBe("");
  expect(routeOf(new URL(pathOf("trip", "a&b"), "http://x"))).toMatchObject({ session: "trip", message: "a&b" });
});
