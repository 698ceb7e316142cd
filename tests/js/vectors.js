// Reads the golden vectors of a folder and holds them against stock msgpack and stock Yjs; prints how many cases
// passed by file, and every failure. Written from PROTOCOL.md section 3 alone: it shares nothing with the Python code.
const fs = require('fs')
const path = require('path')
const assert = require('assert')
const msgpack = require('@msgpack/msgpack')
const Y = require('yjs')

const CLIENT_FRAME_BYTES_MAX = 1024 * 1024
const isString = (v) => typeof v === 'string'
const isUint = (v) => Number.isSafeInteger(v) && v >= 0
const isBytes = (v) => v instanceof Uint8Array
const isMap = (v) => v !== null && typeof v === 'object' && Object.getPrototypeOf(v) === Object.prototype
const isArrayOf = (check) => (v) => Array.isArray(v) && v.every(check)
const isMapOf = (check) => (v) => isMap(v) && Object.values(v).every(check)
const isLayer = (v) => v === 'transcript' || v === 'state'
const isEntry = (v) => Array.isArray(v) && v.length >= 6 && v.slice(0, 5).every(isString)

// The types of fields, as section 3 names them.
const text = isString
const short = (v) => isString(v) && [...v].length <= 128
const id = (v) => isString(v) && /^[A-Za-z0-9_-]{1,64}$/.test(v)
const uint = isUint
const uints = isArrayOf(isUint)
const number = (v) => typeof v === 'number' && Number.isFinite(v)
const flag = (v) => typeof v === 'boolean'
const bytes = isBytes
const layer = isLayer
const byLayer = (v) => isMapOf(isBytes)(v) && Object.keys(v).every(isLayer)
const json = () => true
const entries = isArrayOf(isEntry)
const ROW = [
  id, text, isArrayOf(isString), flag, uint, uint, text, uint, isArrayOf(isString), isMapOf(isString),
  isMapOf(isString), short,
]
const isRow = (v) => Array.isArray(v) && v.length >= ROW.length && ROW.every((check, at) => check(v[at]))
const rows = isArrayOf(isRow)
const idOrEmpty = (v) => v === '' || id(v)
const uintFrom1 = (v) => isUint(v) && v >= 1
const attempts = (v) => uintFrom1(v) && v <= 100
const policy = (v) => ['wait', 'retry', 'fail'].includes(v)

const FRAMES = {
  client: {
    1: { versions: uints, token: text, device: id, agent: short },
    2: { session: id, vectors: byLayer, client_ids: uints, incarnation: short, version: uint, seen: uint },
    3: { session: id, layer, number: uint, update: bytes },
    4: { session: id, state: json },
    5: { token: text },
    6: { session: id },
    7: { nonce: uint },
    8: { session: id, client_ids: uints },
    9: { worker: id, slots: uint, per_session: uintFrom1 },
    10: { session: id, run: id, policy, attempts_max: attempts },
    11: { after: short, limit: uint, archived: flag },
  },
  server: {
    65: {
      version: uint, peer: id, subject: short, server: short, heartbeat_s: number, frame_bytes_max: uint,
      presence_bytes_max: uint, expires_at: number, now: number,
    },
    66: {
      session: id, incarnation: short, version: uint, seq: uint, caught_up: uint, rights: isArrayOf(isString),
      updates: byLayer, vectors: byLayer, roots: isMapOf(isString), presence: entries, storage_full: flag,
    },
    67: { session: id, number: uint },
    68: { session: id, number: uint, code: short, reason: text },
    69: { session: id, layer, update: bytes },
    70: { session: id, entries },
    71: { session: id, code: uint, reason: text },
    72: { code: uint, reason: text, retry_after_s: number },
    73: { nonce: uint },
    74: { expires_at: number },
    75: { full: flag },
    76: { session: id, run: id, message: idOrEmpty, attempt: uint },
    77: { rows, next: short, whole: flag },
    78: { rows, gone: isArrayOf(id) },
  },
}

class Refusal extends Error {
  constructor(code, reason) {
    super(`${code}: ${reason}`)
    this.code = code
  }
}

// Returns {type, values} of a frame that `sender` sent, or throws a Refusal.
function read(data, sender) {
  if (sender === 'client' && data.length > CLIENT_FRAME_BYTES_MAX) throw new Refusal(1009, 'too big')
  let body
  try {
    body = msgpack.decode(data)
  } catch (error) {
    throw new Refusal(4400, error.message)
  }
  if (!Array.isArray(body) || !Number.isSafeInteger(body[0])) throw new Refusal(4400, 'no array that starts with a type')
  const [type, ...fields] = body
  const known = FRAMES[sender][type]
  if (known === undefined) {
    if (type < 128 || type > 65535) throw new Refusal(4426, `type ${type}`)
    return { type, values: { type, body: fields } }
  }
  const values = {}
  for (const [at, [name, check]] of Object.entries(known).entries()) {
    if (at >= fields.length || !check(fields[at])) throw new Refusal(4400, name)
    const items = check === entries ? 6 : check === rows ? ROW.length : undefined
    values[name] = items === undefined ? fields[at] : fields[at].map((item) => item.slice(0, items))
  }
  return { type, values }
}

const fromHex = (hex) =>
  new Uint8Array(Buffer.from(hex.replace(/\(([0-9a-f]{2})\*(\d+)\)/g, (_, byte, times) => byte.repeat(+times)), 'hex'))
const toHex = (data) => Buffer.from(data).toString('hex')

// Turns {"$bytes": hex} into bytes, everywhere.
function unmark(value) {
  if (Array.isArray(value)) return value.map(unmark)
  if (value === null || typeof value !== 'object') return value
  if ('$bytes' in value) return fromHex(value.$bytes)
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unmark(part)]))
}

// One check for each kind of file; each gets a case and its file.
function checkFrame(item, file) {
  const data = fromHex(item.hex)
  const expected = unmark(item.values)
  const { type, values } = read(data, file.from === 'either' ? 'client' : file.from)
  assert.deepStrictEqual(values, expected)
  if (file.type === undefined) return
  assert.strictEqual(type, file.type)
  assert.deepStrictEqual(file.fields, Object.keys(FRAMES[file.from][type]), 'fields and their order')
  const again = msgpack.encode([type, ...file.fields.map((name) => expected[name])])
  assert.deepStrictEqual(read(again, file.from).values, expected, 'encoded here and read again')
  if (item.shortest) assert.strictEqual(toHex(again), toHex(data), 'the same bytes')
}

function checkRefused(item) {
  // Stock msgpack replaces bad UTF-8, and JavaScript has one type of number.
  if (item.needs) return
  assert.throws(() => read(fromHex(item.hex), item.from), (error) => error.code === item.code)
}

const open = { text: 'getText', map: 'getMap', array: 'getArray' }

function document(roots) {
  const doc = new Y.Doc()
  for (const [name, kind] of Object.entries(roots)) doc[open[kind]](name)
  return doc
}

function checkUpdate(item) {
  const doc = document(item.roots)
  Y.applyUpdate(doc, fromHex(item.hex))
  assert.strictEqual(doc.store.pendingStructs, null)
  assert.strictEqual(doc.store.pendingDs, null)
  assert.deepStrictEqual(Object.fromEntries(clocks(Y.encodeStateVector(doc))), item.ends)
  assert.deepStrictEqual(plain(doc.toJSON()), plain(unmark(item.holds)))
}

const clocks = (vector) => [...Y.decodeStateVector(vector)].map(([client, clock]) => [String(client), clock]).sort()
const plain = (value) => JSON.parse(JSON.stringify(value))

function checkVector(item) {
  const state = Y.decodeStateVector(fromHex(item.hex))
  assert.deepStrictEqual(clocks(fromHex(item.hex)), Object.entries(item.clocks).sort())
  assert.deepStrictEqual(Y.decodeStateVector(Y.encodeStateVector(state)), state)
}

function checkEntry(item) {
  if (item.body === undefined) return Y.applyUpdate(new Y.Doc(), fromHex(item.hex))
  const data = fromHex(item.hex)
  assert.deepStrictEqual(msgpack.decode(data), unmark(item.body))
  assert.strictEqual(toHex(msgpack.encode(unmark(item.body))), toHex(data))
}

// Trees and runs are replayed by `web_client`, which has them; here is what must hold of any.
function checkBranches(item) {
  const ids = new Set(item.messages.map((message) => message.id))
  for (const { items } of item.views) {
    assert.strictEqual(new Set(items.map(([id]) => id)).size, items.length, 'each once')
    for (const [id, , index = 1, siblings = [id]] of items) {
      assert(ids.has(id) && !item.superseded.includes(id), id)
      assert.strictEqual(siblings[index - 1], id)
    }
  }
}

function checkRun(item) {
  const of = (run) => Object.entries(item.receipts).filter(([key]) => key.startsWith(`r:${run}.`))
  const facts = of('r')
  facts.forEach(([key], at) => assert.strictEqual(key, `r:r.${at}`))
  const { attempt, since, parent_attempt: by } = item.run
  const above = of('p').at(-1)?.[1]
  const givenUp = above !== undefined && by < above.since
  assert.deepStrictEqual(item.counts, [1, 2, 3, 4].filter((n) => since <= n && n <= attempt && !givenUp))
  if (facts.length > 0 && facts.at(-1)[1].lease === 'ended') assert.strictEqual(item.run.status, facts.at(-1)[1].status)
}

// Replays what one client of the conversation sent and was sent; its documents must come to hold `ends`.
function checkConversation(file) {
  const docs = { transcript: document(file.roots.transcript), state: document(file.roots.state) }
  let pushed = 0
  for (const frame of file.frames) {
    const { values } = read(fromHex(frame.hex), frame.from)
    if (frame.peer !== 'ann') continue
    if (frame.frame === 'Push') assert.strictEqual(values.number, ++pushed)
    if (frame.frame === 'Ack') assert(values.number <= pushed)
    if (frame.frame === 'Push' || frame.frame === 'Update') Y.applyUpdate(docs[values.layer], values.update)
    if (frame.frame === 'Opened') {
      for (const [name, update] of Object.entries(values.updates)) Y.applyUpdate(docs[name], update)
    }
  }
  assert(pushed > 0)
  for (const [name, doc] of Object.entries(docs)) assert.deepStrictEqual(plain(doc.toJSON()), file.ends[name])
}

// How words are found is the clients' own business, and replayed by them: what matches is marked.
function checkSearch(item) {
  if (item.matches && item.phrases.length > 0) assert(item.excerpt.includes('\u2068'))
}

const CHECKS = {
  'refused_frames.json': (file) => [[file.cases, checkRefused]],
  'updates.json': (file) => [[file.accepted, checkUpdate]],
  'state_vectors.json': (file) => [[file.accepted, checkVector]],
  'entries.json': (file) => [[file.cases, checkEntry]],
  'branches.json': (file) => [[file.cases, checkBranches]],
  'runs.json': (file) => [[file.cases, checkRun]],
  'search.json': (file) => [[file.cases, checkSearch]],
  'conversation.json': (file) => [[[{ name: 'as a whole' }], () => checkConversation(file)]],
}

const place = process.argv[2]
const passed = {}
for (const name of fs.readdirSync(place, { recursive: true }).sort()) {
  if (!name.endsWith('.json')) continue
  const file = JSON.parse(fs.readFileSync(path.join(place, name), 'utf8'))
  const checks = CHECKS[name] ?? ((frames) => [[frames.cases, checkFrame]])
  passed[name] = 0
  for (const [cases, check] of checks(file)) {
    for (const item of cases) {
      try {
        check(item, file)
        passed[name] += 1
      } catch (error) {
        process.exitCode = 1
        console.error(`${name}, ${item.name}: ${error.message}`)
      }
    }
  }
}
console.log(JSON.stringify(passed))
