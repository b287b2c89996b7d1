/**
 * The rows of the versions that a profile names.
 *
 * @module
 */
import { type AddressingVersion, RM10, RM11, type RmVersion, SC05, SC13, type ScVersion, SOAP11, SOAP12, type SoapVersion, WSA04, WSA10 } from '../spec/versions.ts'
import type { Profile } from './profile.ts'

/** The rows that a conversation is written in. */
export interface Versions { readonly soap: SoapVersion; readonly addressing: AddressingVersion; readonly rm: RmVersion; readonly sc: ScVersion }
export const versionsOf = (profile: Pick<Profile, 'soap' | 'addressing' | 'rm' | 'sc'>): Versions => ({
  soap: profile.soap === '1.1' ? SOAP11 : SOAP12,
  addressing: profile.addressing === '200408' ? WSA04 : WSA10,
  rm: profile.rm === '1.0' ? RM10 : RM11,
  sc: profile.sc === '200502' ? SC05 : SC13,
})
