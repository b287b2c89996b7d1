/** Messages of every shape, to be mutated: our baseline in its forms, and the published ones. */
import { readFileSync } from 'node:fs'
import { secretKey } from '../../src/crypto/hash.ts'
import type { Opened } from '../../src/wss/keys.ts'
import { open, read } from '../../src/wss/open.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { b0, b0eParts, BODY_TEXT, CLIENT, DIALECT, DIALECTS, hidden, keysWith, list, NOW, parts, POLICY, SERVER, signed, withSecondKey, xmlOf } from './baseline.ts'
import type { Subject } from './mutations.ts'

interface Message { readonly name: string; readonly xml: string; readonly sctSecretHex?: string }
const { messages } = JSON.parse(readFileSync(new URL('../vector/derived-key-vectors.json', import.meta.url), 'utf8')) as { readonly messages: readonly Message[] }

const { sc } = DIALECT
const sealed = (): string => {
  const clear = signed(withSecondKey(parts()))
  return xmlOf({ ...clear, lists: list('_ed', '_es'), signatures: hidden(sc, clear.signatures, { id: '_es', type: 'element' }), body: clear.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT)) })
}
const encryptedFirst = (): string => {
  const given = withSecondKey(parts())
  return xmlOf({ ...signed({ ...given, body: given.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT)) }), after: list('_ed') })
}
const OWN: readonly Subject[] = [
  ...DIALECTS.flatMap(([name, dialect]) => [['signed', b0(dialect)], ['signed and encrypted', xmlOf(b0eParts(dialect))]].map(([what, xml = '']) => ({ name: `${what}, ${name}`, xml }))),
  { name: 'signature encrypted too', xml: sealed() }, { name: 'encrypted, then signed', xml: encryptedFirst() },
].map((each) => ({ ...each, keys: keysWith(), policy: POLICY, now: NOW + 1_000 }))

const PUBLISHED = ['01-rst-sct', '03-create-sequence', '04-app-message', '06-app-response-no-token', '07-rst-renew', '12-rst-sct-symmetric', '22-basic256-app-response']
function published({ name, xml, sctSecretHex }: Message): Subject {
  const identifier = /SecurityContextToken[^>]*><\w+:Identifier>([^<]+)</.exec(xml)?.[1] ?? /<wsse:Reference URI="([^#"][^"]*)"/.exec(xml)?.[1] ?? ''
  const contexts = sctSecretHex === undefined ? [] : [{ identifier, instance: undefined, secret: secretKey(Buffer.from(sctSecretHex, 'hex')) }]
  const now = Date.parse(/<wsu:Created>([^<]+)</.exec(xml)?.[1] ?? '')
  const policy = { ...POLICY, signer: 'any' as const }
  const given = { certificates: [CLIENT.certificate, SERVER.certificate], privateKeys: [CLIENT.key, SERVER.key] }
  // RSA is slow and not what is looked for here: its result is given, as to a receiver that has seen the message before.
  const first: Opened = open(read(Buffer.from(xml), DEFAULT_LIMITS), keysWith(contexts, given), policy, now)
  return { name, xml, now, policy, keys: keysWith(contexts, { ...given, encryptedKey: (sha1) => first.encryptedKeys.get(sha1) }) }
}
export const SUBJECTS: readonly Subject[] = [...OWN, ...messages.filter((each) => PUBLISHED.includes(each.name)).map(published)]
