import { beforeAll, describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { getQuickJS, type QuickJSWASMModule } from 'quickjs-emscripten';
import type { Spec } from './declarative.js';
import { type JobResult, runJob } from './run.js';
import type { Program, TransformationInput } from './transformation.js';

let quickjs: QuickJSWASMModule;
beforeAll(async () => {
  quickjs = await getQuickJS();
});

const DATA = {
  amount: 100,
  customer: { name: 'Ada', card: '4242' },
  items: [
    { sku: 'a', cost: 1 },
    { sku: 'b', cost: 2 },
  ],
};
const inputOf = (data: unknown = DATA, eventId = 'evt_1'): TransformationInput => ({
  event: JSON.stringify({
    id: eventId,
    type: 'invoice.paid',
    timestamp: '2026-01-02T03:04:05.678Z',
    version: '1',
    data,
  }),
  eventId,
  nowMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  endpoint: { id: 'ep_1', url: 'https://hooks.example.com/in' },
  maxBodyBytes: 1_000_000,
});
const js = (code: string, input = inputOf()) =>
  runJob(quickjs, { kind: 'run', program: { kind: 'javascript', code }, input });
const declarative = (spec: Spec, input = inputOf()) =>
  runJob(quickjs, { kind: 'run', program: { kind: 'declarative', spec }, input });
const bodyOf = (result: JobResult): unknown => {
  if (!result.ok) throw new Error(result.detail);
  return result.transformed?.body === undefined ? undefined : JSON.parse(result.transformed.body);
};
const detailOf = (result: JobResult) => (result.ok ? null : result.detail);

describe('a conversion', () => {
  const convert = (program: Program, data: unknown = DATA) =>
    runJob(quickjs, { kind: 'convert', program, input: { ...inputOf(), event: JSON.stringify(data) } });
  const byCode = (code: string, data?: unknown) => convert({ kind: 'javascript', code }, data);

  it('is given data and answers with data, whatever that is', () => {
    expect(bodyOf(byCode('const convert = ({ amount }) => ({ total: amount })'))).toEqual({ total: 100 });
    for (const data of [null, 0, '', [1], 'text'])
      expect(bodyOf(byCode('const convert = (data) => data', data))).toEqual(data);
    expect(bodyOf(convert({ kind: 'declarative', spec: { pick: ['customer.name'] } }))).toEqual({
      customer: { name: 'Ada' },
    });
  });

  it('has no clock but the moment of the event', () => {
    expect(bodyOf(byCode('const convert = () => Date.now()'))).toBe(inputOf().nowMs);
  });

  test.each([
    ['const transform = (data) => data', 'the code has no function `convert`'],
    ['const convert = () => undefined', 'convert returned undefined; it must return the new data'],
    ['const convert = () => () => 1', 'convert returned function; it must return the new data'],
    ['async function convert(data) { return data }', 'convert must not be async'],
    ['const convert = (data) => data.nope.nothing', "cannot read property 'nothing' of undefined"],
    ['JSON.stringify = () => "forged"; const convert = () => { throw 1 }', 'something was thrown'],
    ['const convert = () => { for (;;); }', 'ran longer than 100 ms'],
    ['const convert = () => new Uint8Array(1e7)', 'needed more than 8 MiB'],
  ])('that is %s fails', (code, detail) => {
    expect(detailOf(byCode(code))).toContain(detail);
  });

  it('is not changed by what the code does to the globals', () => {
    const forging = 'JSON.stringify = () => "9"; JSON.parse = () => 8; const convert = (data) => data';
    expect(bodyOf(byCode(forging, 5))).toBe(5);
  });
});

describe('JavaScript', () => {
  it('is given the event and the endpoint, and answers with what is to be sent', () => {
    const result = js(`function transform(event, endpoint) {
      return {
        body: { total: event.data.amount, to: endpoint.id },
        headers: { 'x-type': event.type },
        path: '/hooks/' + event.data.customer.name,
      };
    }`);
    expect(result).toMatchObject({
      ok: true,
      transformed: {
        body: '{"total":100,"to":"ep_1"}',
        headers: { 'x-type': 'invoice.paid' },
        path: '/hooks/Ada',
      },
    });
  });

  it('drops the event by null, and changes nothing by an empty object', () => {
    expect(js('const transform = () => null')).toMatchObject({ ok: true, transformed: null });
    expect(js('const transform = () => ({})')).toMatchObject({ ok: true, transformed: {} });
  });

  test.each<[string, string]>([
    ['', 'the code has no function `transform`'],
    ['let x = ;', "SyntaxError: unexpected token in expression: ';' (line 1)"],
    ['\nfunction transform(e) { return e.a.b }', "TypeError: cannot read property 'b' of undefined (line 2)"],
    ['function transform() { throw new Error("no") }', 'Error: no (line 1)'],
    ['function transform() { throw "text" }', 'text'],
    ['function transform() { throw 1 }', 'something was thrown that is no error'],
    ['function transform() {}', 'transform returned undefined'],
    ['const transform = () => 1', 'transform returned number'],
    ['const transform = () => []', 'transform returned an array'],
    ['const transform = async () => ({})', 'transform must not be async'],
    ['const transform = () => ({ url: "https://evil.example/" })', 'transform returned url'],
    ['const transform = () => ({ body: () => 1 })', 'body is nothing that JSON has'],
  ])('%j fails by saying why', (code, detail) => {
    expect(detailOf(js(code))).toContain(detail);
  });

  it('has no way out, no clock and no timers', () => {
    const names = [
      'fetch',
      'XMLHttpRequest',
      'require',
      'process',
      'setTimeout',
      'performance',
      'WebAssembly',
      'os',
      'std',
      'scriptArgs',
      'Worker',
      'Deno',
    ];
    const code = `const transform = () => ({ body: ${JSON.stringify(names)}.map((name) => typeof globalThis[name]) })`;
    expect(bodyOf(js(code))).toEqual(names.map(() => 'undefined'));
    expect(detailOf(js('const transform = () => ({ body: import("fs") && 1 })'))).toBeNull();
    expect(detailOf(js('import fs from "fs"; const transform = () => null'))).toContain('SyntaxError');
  });

  it('comes to the same each time, wherever it runs', () => {
    const code = `const transform = () => ({ body: [
      Date.now(), new Date().toISOString(), Date(), new Date(2026, 5, 1).getTime(), new Date().getHours(),
      new Date().constructor.now(), Math.random(), Math.random(),
    ] })`;
    const [now, iso, , local, hours] = bodyOf(js(code)) as [number, string, string, number, number];
    expect([now, iso]).toEqual([inputOf().nowMs, '2026-01-02T03:04:05.678Z']);
    expect([local, hours]).toEqual([Date.UTC(2026, 5, 1), 3]);
    expect(bodyOf(js(code))).toEqual(bodyOf(js(code)));
    const chance = (eventId: string) =>
      bodyOf(js('const transform = () => ({ body: Math.random() })', inputOf(DATA, eventId)));
    expect(new Set(Array.from({ length: 50 }, (_, index) => chance(`evt_${index}`))).size).toBe(50);
  });

  it('leaves nothing for the next run', () => {
    js(
      'globalThis.left = 1; Object.prototype.left = 2; Array.prototype.map = null; JSON.parse = null; const transform = () => ({})',
    );
    expect(
      bodyOf(
        js(
          'const transform = () => ({ body: [typeof left, typeof {}.left, typeof [].map, typeof JSON.parse] })',
        ),
      ),
    ).toEqual(['undefined', 'undefined', 'function', 'function']);
    expect(({} as Record<string, unknown>).left).toBeUndefined();
  });

  it('is not confused by what it does to its own globals', () => {
    const code = `Object.prototype.body = '}'; Object.prototype.kind = 'dropped'; JSON.stringify = () => '}'; Reflect.ownKeys = () => [];
      const transform = () => ({ path: '/a' })`;
    expect(js(code)).toMatchObject({ ok: true, transformed: { path: '/a' } });
  });

  it('keeps names of prototypes as what they are', () => {
    expect(
      js('const transform = ({ data }) => ({ body: data })', inputOf(JSON.parse('{"__proto__":{"x":1}}'))),
    ).toMatchObject({
      transformed: { body: '{"__proto__":{"x":1}}' },
    });
  });

  it('shows the console, as much of it as anyone reads', () => {
    const { console: lines } = js(`const transform = (event) => {
      console.log('amount', event.data.amount, { a: [1] }, undefined, Object.create(null));
      console.error(new TypeError('no'));
      console.log('x'.repeat(5000));
      for (let i = 0; i < 200; i += 1) console.info(i);
      return {};
    }`);
    expect(lines.slice(0, 2)).toEqual(['amount 100 {"a":[1]} undefined {}', 'TypeError: no']);
    expect(lines[2]).toHaveLength(1_000);
    expect(lines).toHaveLength(100);
    expect(js('const transform = () => { console.log("before"); throw new Error("no") }').console).toEqual([
      'before',
    ]);
  });
});

describe('hostile JavaScript', () => {
  const sound = { ok: false, isSound: true };

  test.each([
    ['loops for ever', 'for (;;);'],
    ['loops for ever in a finally', 'try { for (;;); } finally { for (;;); }'],
    ['backtracks for ever', 'return { body: /(a+)+$/.test("a".repeat(40) + "!") }'],
    ['throws what cannot be read', 'throw { toJSON() { for (;;); } }'],
    ['throws a proxy', 'throw new Proxy({}, { get() { for (;;); } })'],
    ['loops while it is printed', 'return { body: { toJSON() { for (;;); } } }'],
  ])('that %s is interrupted', (_, body) => {
    expect(js(`function transform() { ${body} }`)).toMatchObject({
      ...sound,
      detail: 'ran longer than 100 ms',
    });
  });

  test.each([
    ['one string', 'return { body: "x".repeat(1e8) }'],
    ['a buffer', 'return { body: new ArrayBuffer(1e9) }'],
    ['an array', 'return { body: new Array(1e8).fill(0) }'],
  ])('that asks for more memory than there is, as %s, gets none', (_, body) => {
    expect(js(`function transform() { ${body} }`)).toMatchObject({
      ...sound,
      detail: 'needed more than 8 MiB of memory',
    });
  });

  it('that calls itself for ever is ended, and what comes next is as well as before', () => {
    expect(detailOf(js('function transform() { return transform() }'))).toContain('stack overflow');
    expect(js('const transform = () => null')).toMatchObject({ ok: true, transformed: null });
  });

  it('is given events that are nested 100 levels deep', () => {
    const nest = (depth: number): TransformationInput => ({
      ...inputOf(),
      event: `${'['.repeat(depth)}${']'.repeat(depth)}`,
    });
    const code = 'const transform = (event) => ({ body: event })';
    expect(js(code, nest(100))).toMatchObject({ ok: true, transformed: { body: nest(100).event } });
  });

  it('is not given a string of 10 MiB, which is more than its memory', () => {
    const input = { ...inputOf(), event: JSON.stringify('x'.repeat(10 * 1024 * 1024)) };
    expect(js('const transform = (event) => ({ body: event })', input)).toMatchObject(sound);
  });

  it('makes no body that is larger than it may be', () => {
    const input = { ...inputOf(), maxBodyBytes: 100 };
    expect(detailOf(js('const transform = () => ({ body: "é".repeat(60) })', input))).toBe(
      'the new body has more than 100 bytes',
    );
    expect(js('const transform = () => ({ body: "e".repeat(60) })', input).ok).toBe(true);
  });

  it('is told of no more than it can read', () => {
    const detail = detailOf(
      js('const transform = () => { throw new Error("a\\nb\\u0000" + "x".repeat(1e5)) }'),
    );
    expect(detail).toMatch(/^Error: a b x+$/);
    expect(detail?.length).toBeLessThanOrEqual(500);
  });
});

describe('a declarative transformation', () => {
  it('picks, omits, renames and sets, in this order', () => {
    const result = declarative({
      pick: ['type', 'data'],
      omit: ['data.customer.card', 'data.items[*].cost'],
      rename: [
        { from: 'data.customer.name', to: 'data.who' },
        { from: 'data.nope', to: 'data.never' },
      ],
      set: [{ path: 'meta.source', value: { by: ['posthorn'] } }],
    });
    expect(bodyOf(result)).toEqual({
      type: 'invoice.paid',
      data: { amount: 100, customer: {}, items: [{ sku: 'a' }, { sku: 'b' }], who: 'Ada' },
      meta: { source: { by: ['posthorn'] } },
    });
  });

  it('leaves the body byte for byte when it changes only headers and path', () => {
    const result = declarative({
      headers: { 'x-type': '{{ event.type | upcase }}' },
      path: '/{{ event.data.customer.name | downcase }}',
    });
    expect(result).toMatchObject({
      ok: true,
      transformed: { headers: { 'x-type': 'INVOICE.PAID' }, path: '/ada' },
    });
    expect(bodyOf(result)).toBeUndefined();
  });

  it('fails where nothing can be put', () => {
    expect(detailOf(declarative({ set: [{ path: 'data.amount.x', value: 1 }] }))).toContain('data.amount.x');
  });

  it('changes no prototype, whatever it sets', () => {
    const names = fc.constantFrom('__proto__', 'constructor', 'prototype', 'a');
    fc.assert(
      fc.property(fc.array(names, { minLength: 1, maxLength: 4 }), fc.jsonValue(), (path, value) => {
        declarative({
          set: [{ path: path.join('.'), value }],
          rename: [{ from: path.join('.'), to: `__proto__.${path.join('.')}` }],
        });
        expect(Object.keys(Object.prototype)).toEqual([]);
        expect(({} as Record<string, unknown>).a).toBeUndefined();
      }),
    );
  });
});

describe('a template', () => {
  const header = (template: string) => declarative({ headers: { 'x-a': template } });
  const headerOf = (template: string) => {
    const result = header(template);
    return result.ok ? (result.transformed?.headers as Record<string, string>)['x-a'] : result.detail;
  };

  test.each([
    ['{{ event.data.amount | times: 2 }}', '200'],
    ['{{ endpoint.id }}', 'ep_1'],
    ['{{ event.nope.nothing }}', ''],
    ['{% if event.data.amount > 50 %}big{% else %}small{% endif %}', 'big'],
    ['{{ "now" | date: "%Y-%m-%dT%H:%M" }}', '2026-01-02T03:04'],
    ['{{ event.constructor }}{{ event.__proto__ }}{{ event.data.items.constructor }}', ''],
  ])('%s makes %j', (template, text) => {
    expect(headerOf(template)).toBe(text);
  });

  it('draws the same by chance each time', () => {
    const template = '{{ event.data.items | sample: 1 | json }}{{ event.data.items | sample: 1 | json }}';
    expect(headerOf(template)).toBe(headerOf(template));
  });

  test.each([
    ['a filter that there is not', '{{ event.type | nope }}', 'undefined filter: nope'],
    ['a file', '{% include "package.json" %}', 'ENOENT'],
    ['a file by its path', '{% render "/etc/passwd" %}', 'ENOENT'],
    ['a layout', '{% layout "../x" %}', 'ENOENT'],
    ['a range without end', '{% for i in (1..1000000000) %}a{% endfor %}', 'memory alloc limit'],
    [
      'loops in loops',
      `${'{% for i in (1..900) %}'.repeat(3)}a${'{% endfor %}'.repeat(3)}`,
      'limit exceeded',
    ],
    [
      'a string that doubles',
      '{% assign s = "aaaaaaaaaa" %}{% for i in (1..40) %}{% assign s = s | append: s %}{% endfor %}{{ s }}',
      'memory alloc limit',
    ],
    ['padding', '{{ "now" | date: "%999999999d" }}', ''],
    ['much output', '{% for i in (1..2000) %}aaaaaaaaaa{% endfor %}', 'longer than 8192 characters'],
    ['no end', '{% if event %}', 'not closed'],
  ])('is refused %s', (_, template, detail) => {
    const result = header(template);
    if (detail === '') expect(String(headerOf(template)).length).toBeLessThan(100);
    else expect(detailOf(result)).toContain(detail);
  });
});

describe('a check', () => {
  const check = (program: Parameters<typeof runJob>[1]['program']) =>
    runJob(quickjs, { kind: 'check', program, input: inputOf() });

  it('loads code without calling it', () => {
    expect(check({ kind: 'javascript', code: 'function transform() { for (;;); }' })).toMatchObject({
      ok: true,
    });
    expect(check({ kind: 'javascript', code: 'for (;;); function transform() {}' })).toMatchObject({
      ok: false,
    });
    expect(check({ kind: 'javascript', code: 'function transfrom() {}' })).toMatchObject({ ok: false });
  });

  it('points at a template that cannot be read', () => {
    expect(check({ kind: 'declarative', spec: { headers: { 'x-a': '{{', 'x-b': 'ok' } } })).toMatchObject({
      ok: false,
      pointer: '/spec/headers/x-a',
    });
    expect(check({ kind: 'declarative', spec: { path: '/{{ a | b }}' } })).toMatchObject({
      pointer: '/spec/path',
    });
  });
});
