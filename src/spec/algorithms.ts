/**
 * One row per algorithm URI and per algorithm suite. Code looks a row up once at the border and passes it on;
 * a URI without a row is refused. The tables are Maps: a URI from outside never meets an object's prototype.
 *
 * @module
 */

export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512'

export interface DigestAlgorithm { readonly uri: string; readonly hash: HashName; readonly bytes: number }
export interface SignatureAlgorithm { readonly uri: string; readonly kind: 'hmac' | 'rsa'; readonly hash: HashName; /** MAC length; RSA: decided by the key. */ readonly bytes?: number }
export interface CipherAlgorithm { readonly uri: string; readonly mode: 'cbc' | 'gcm'; readonly keyBytes: number; readonly node: string }
export interface KeyTransportAlgorithm {
  readonly uri: string
  /** rsa-oaep-mgf1p: the mask is made with SHA-1 whatever the digest; xenc11 rsa-oaep: an MGF child may name it. */
  readonly fixedMgf: 'sha1' | undefined
}
export interface KeyWrapAlgorithm { readonly uri: string; readonly keyBytes: number; readonly node: string }

const DSIG = 'http://www.w3.org/2000/09/xmldsig#'
const MORE = 'http://www.w3.org/2001/04/xmldsig-more#'
const XENC = 'http://www.w3.org/2001/04/xmlenc#'
const XENC11 = 'http://www.w3.org/2009/xmlenc11#'

export const EXCLUSIVE_C14N = 'http://www.w3.org/2001/10/xml-exc-c14n#'
export const ENCRYPTED_ELEMENT: string = `${XENC}Element`
export const ENCRYPTED_CONTENT: string = `${XENC}Content`

export const SHA1: DigestAlgorithm = { uri: `${DSIG}sha1`, hash: 'sha1', bytes: 20 }
export const SHA256: DigestAlgorithm = { uri: `${XENC}sha256`, hash: 'sha256', bytes: 32 }
export const SHA384: DigestAlgorithm = { uri: `${MORE}sha384`, hash: 'sha384', bytes: 48 }
export const SHA512: DigestAlgorithm = { uri: `${XENC}sha512`, hash: 'sha512', bytes: 64 }

export const HMAC_SHA1: SignatureAlgorithm = { uri: `${DSIG}hmac-sha1`, kind: 'hmac', hash: 'sha1', bytes: 20 }
export const HMAC_SHA256: SignatureAlgorithm = { uri: `${MORE}hmac-sha256`, kind: 'hmac', hash: 'sha256', bytes: 32 }
export const HMAC_SHA384: SignatureAlgorithm = { uri: `${MORE}hmac-sha384`, kind: 'hmac', hash: 'sha384', bytes: 48 }
export const HMAC_SHA512: SignatureAlgorithm = { uri: `${MORE}hmac-sha512`, kind: 'hmac', hash: 'sha512', bytes: 64 }
export const RSA_SHA1: SignatureAlgorithm = { uri: `${DSIG}rsa-sha1`, kind: 'rsa', hash: 'sha1' }
export const RSA_SHA256: SignatureAlgorithm = { uri: `${MORE}rsa-sha256`, kind: 'rsa', hash: 'sha256' }
export const RSA_SHA384: SignatureAlgorithm = { uri: `${MORE}rsa-sha384`, kind: 'rsa', hash: 'sha384' }
export const RSA_SHA512: SignatureAlgorithm = { uri: `${MORE}rsa-sha512`, kind: 'rsa', hash: 'sha512' }

export const AES128_CBC: CipherAlgorithm = { uri: `${XENC}aes128-cbc`, mode: 'cbc', keyBytes: 16, node: 'aes-128-cbc' }
export const AES192_CBC: CipherAlgorithm = { uri: `${XENC}aes192-cbc`, mode: 'cbc', keyBytes: 24, node: 'aes-192-cbc' }
export const AES256_CBC: CipherAlgorithm = { uri: `${XENC}aes256-cbc`, mode: 'cbc', keyBytes: 32, node: 'aes-256-cbc' }
export const AES128_GCM: CipherAlgorithm = { uri: `${XENC11}aes128-gcm`, mode: 'gcm', keyBytes: 16, node: 'aes-128-gcm' }
export const AES192_GCM: CipherAlgorithm = { uri: `${XENC11}aes192-gcm`, mode: 'gcm', keyBytes: 24, node: 'aes-192-gcm' }
export const AES256_GCM: CipherAlgorithm = { uri: `${XENC11}aes256-gcm`, mode: 'gcm', keyBytes: 32, node: 'aes-256-gcm' }

/** RSA-1.5 has no row: it is refused (D17). */
export const RSA_OAEP_MGF1P: KeyTransportAlgorithm = { uri: `${XENC}rsa-oaep-mgf1p`, fixedMgf: 'sha1' }
export const RSA_OAEP: KeyTransportAlgorithm = { uri: `${XENC11}rsa-oaep`, fixedMgf: undefined }

export const KW_AES128: KeyWrapAlgorithm = { uri: `${XENC}kw-aes128`, keyBytes: 16, node: 'id-aes128-wrap' }
export const KW_AES192: KeyWrapAlgorithm = { uri: `${XENC}kw-aes192`, keyBytes: 24, node: 'id-aes192-wrap' }
export const KW_AES256: KeyWrapAlgorithm = { uri: `${XENC}kw-aes256`, keyBytes: 32, node: 'id-aes256-wrap' }

const byUri = <T extends { readonly uri: string }>(...rows: readonly T[]): ReadonlyMap<string, T> => new Map(rows.map((row) => [row.uri, row]))
export const DIGESTS: ReadonlyMap<string, DigestAlgorithm> = byUri(SHA1, SHA256, SHA384, SHA512)
export const SIGNATURES: ReadonlyMap<string, SignatureAlgorithm> = byUri(HMAC_SHA1, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, RSA_SHA1, RSA_SHA256, RSA_SHA384, RSA_SHA512)
export const CIPHERS: ReadonlyMap<string, CipherAlgorithm> = byUri(AES128_CBC, AES192_CBC, AES256_CBC, AES128_GCM, AES192_GCM, AES256_GCM)
export const KEY_TRANSPORTS: ReadonlyMap<string, KeyTransportAlgorithm> = byUri(RSA_OAEP_MGF1P, RSA_OAEP)
export const KEY_WRAPS: ReadonlyMap<string, KeyWrapAlgorithm> = byUri(KW_AES128, KW_AES192, KW_AES256)
/** xenc11:MGF/@Algorithm. */
export const MASK_FUNCTIONS: ReadonlyMap<string, HashName> = new Map([
  [`${XENC11}mgf1sha1`, 'sha1'], [`${XENC11}mgf1sha256`, 'sha256'], [`${XENC11}mgf1sha384`, 'sha384'], [`${XENC11}mgf1sha512`, 'sha512'],
])

/** WS-SecurityPolicy 1.2 §6: the algorithms that go together, and how long derived keys are. */
export interface Suite {
  readonly name: SuiteName
  readonly digest: DigestAlgorithm
  readonly cipher: CipherAlgorithm
  readonly hmac: SignatureAlgorithm
  readonly rsa: SignatureAlgorithm
  readonly keyTransport: KeyTransportAlgorithm
  readonly keyWrap: KeyWrapAlgorithm
  /** Length of a derived key for signing, in bytes. */
  readonly signatureKeyBytes: number
  /** Length of the context's secret, in bytes. */
  readonly secretBytes: number
}
export type SuiteName = 'Basic256' | 'Basic192' | 'Basic128' | 'Basic256Sha256' | 'Basic192Sha256' | 'Basic128Sha256' | 'Basic256GCM' | 'Basic192GCM' | 'Basic128GCM'

const basic = (name: SuiteName, digest: DigestAlgorithm, cipher: CipherAlgorithm, keyWrap: KeyWrapAlgorithm, signatureKeyBytes: number): Suite => ({
  name, digest, cipher, keyWrap, signatureKeyBytes, secretBytes: cipher.keyBytes, keyTransport: RSA_OAEP_MGF1P,
  hmac: digest === SHA1 ? HMAC_SHA1 : HMAC_SHA256, rsa: digest === SHA1 ? RSA_SHA1 : RSA_SHA256,
})
export const SUITES: ReadonlyMap<string, Suite> = new Map(
  [
    basic('Basic256', SHA1, AES256_CBC, KW_AES256, 24), basic('Basic192', SHA1, AES192_CBC, KW_AES192, 24), basic('Basic128', SHA1, AES128_CBC, KW_AES128, 16),
    basic('Basic256Sha256', SHA256, AES256_CBC, KW_AES256, 24), basic('Basic192Sha256', SHA256, AES192_CBC, KW_AES192, 24), basic('Basic128Sha256', SHA256, AES128_CBC, KW_AES128, 16),
    basic('Basic256GCM', SHA256, AES256_GCM, KW_AES256, 24), basic('Basic192GCM', SHA256, AES192_GCM, KW_AES192, 24), basic('Basic128GCM', SHA256, AES128_GCM, KW_AES128, 16),
  ].map((suite) => [suite.name, suite]),
)
