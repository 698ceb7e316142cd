// Reads lines of {update: base64, roots: {name: kind}}; writes what Yjs makes of each as JSON, or {error}.
const Y = require('yjs')
const fs = require('fs')

const open = { text: 'getText', map: 'getMap', array: 'getArray' }

for (const line of fs.readFileSync(0, 'utf8').trim().split('\n')) {
  const { update, roots } = JSON.parse(line)
  let answer
  try {
    const doc = new Y.Doc()
    for (const [name, kind] of Object.entries(roots)) doc[open[kind]](name)
    Y.applyUpdate(doc, Buffer.from(update, 'base64'))
    const pending = doc.store.pendingStructs !== null || doc.store.pendingDs !== null
    answer = pending ? { error: 'something is missing' } : { json: doc.toJSON() }
  } catch (error) {
    answer = { error: String(error) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
