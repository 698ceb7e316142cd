// Reads lines of {updates: [base64], roots: {name: kind}}; writes what Yjs makes of each as {json, content}, or {error}.
// `json` is Yjs' own; `content` says all that tests/fuzz/content.py says of a pycrdt document, marks and kinds included.
const Y = require('yjs')
const fs = require('fs')

const open = { text: 'getText', map: 'getMap', array: 'getArray', xml: 'getXmlFragment' }

function plain (value) {
  if (value === undefined || value === null) return null
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]))
  return value
}

const sorted = marks => JSON.stringify(Object.entries(marks).sort())

// Neighbours with the same marks are one: Yjs cuts where a mark was set and deleted again.
function runs (text) {
  const found = []
  for (const { insert, attributes } of text.toDelta()) {
    const [part, marks, last] = [read(insert), plain(attributes ?? {}), found.at(-1)]
    if (last && typeof part === 'string' && typeof last[0] === 'string' && sorted(last[1]) === sorted(marks)) last[0] += part
    else found.push([part, marks])
  }
  return found
}

function attributes (element) {
  const shown = value => value instanceof Y.AbstractType ? 'a shared type' : plain(value)
  return Object.fromEntries(Object.entries(element.getAttributes()).map(([key, value]) => [key, shown(value)]))
}

function read (value) {
  if (value instanceof Y.XmlText) return { words: runs(value), attributes: attributes(value) }
  if (value instanceof Y.Text) return { text: runs(value) }
  if (value instanceof Y.Map) return { map: Object.fromEntries([...value.entries()].map(([k, v]) => [k, read(v)])) }
  if (value instanceof Y.Array) return { array: value.toArray().map(read) }
  if (value instanceof Y.XmlElement) {
    return { element: value.nodeName, attributes: attributes(value), children: value.toArray().map(read) }
  }
  if (value instanceof Y.XmlFragment) return { children: value.toArray().map(read) }
  return plain(value)
}

for (const line of fs.readFileSync(0, 'utf8').trim().split('\n')) {
  const { updates, roots } = JSON.parse(line)
  let answer
  try {
    const doc = new Y.Doc()
    const types = Object.entries(roots).map(([name, kind]) => [name, doc[open[kind]](name)])
    // As one: between transactions Yjs deletes marks that cover nothing, and what comes later goes without them.
    doc.transact(() => updates.forEach(update => Y.applyUpdate(doc, Buffer.from(update, 'base64'))))
    const pending = doc.store.pendingStructs !== null || doc.store.pendingDs !== null
    const content = () => Object.fromEntries(types.map(([name, type]) => [name, read(type)]))
    answer = pending ? { error: 'something is missing' } : { json: plain(doc.toJSON()), content: content() }
  } catch (error) {
    answer = { error: String(error) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
