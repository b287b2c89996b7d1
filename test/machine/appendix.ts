/**
 * The state tables that the specification describes, as data, in its own states; beside each row the event of ours that it maps onto.
 * `=` keeps the state, `!` is refused, `-` does not occur. RM 1.1 unless a row says otherwise.
 */
import type { DestinationEvent, DestinationState } from '../../src/rm/destination.ts'
import type { SourceEvent, SourceState } from '../../src/rm/source-words.ts'
import { acknowledged, asked, CLOSE, CLOSED, closing, consumed, created, fault, HOUR, HUGE, made, message, PASSED, REFUSED, submit, terminated, terminating, TIME } from './machines.ts'

export const SOURCE_STATES = ['Creating', 'Created', 'Rollover', 'Closing', 'Closed', 'Terminating', 'None'] as const
/** Which of our states each of them is; Closed moves on to terminating by itself as soon as no reply is awaited. */
export const SOURCE_MEANS: Readonly<Record<(typeof SOURCE_STATES)[number], readonly SourceState[]>> = {
  Creating: ['creating'], Created: ['open'], Rollover: ['full'], Closing: ['closing', 'draining'], Closed: ['closed', 'terminating'], Terminating: ['terminating'], None: ['ended'],
}
/** What leads there. In Created, Rollover and Closed a request waits for its reply. */
export const SOURCE_WAY: Readonly<Record<(typeof SOURCE_STATES)[number], readonly SourceEvent[]>> = {
  Creating: [], Created: [created(), submit('a', 'request'), acknowledged(1)], Rollover: [created(), submit('a', 'request'), acknowledged(1), fault('MessageNumberRollover')],
  Closing: [created(), submit(), acknowledged(1), CLOSE], Closed: [created(), submit('a', 'request'), acknowledged(1, { final: true })],
  Terminating: [created(), submit(), acknowledged(1), CLOSE, CLOSED], None: [created(), terminated('peer')],
}
export const SOURCE_ROWS: readonly { readonly row: string; readonly event: SourceEvent; readonly later?: number; readonly expiresMs?: number; readonly cells: readonly string[] }[] = [
  //                                                                                           Creating   Created    Rollover   Closing    Closed  Terminating None
  { row: 'CreateSequenceResponse', event: created(), cells: ['Created', '=', '=', '=', '=', '=', '='] },
  { row: 'CreateSequenceRefused', event: REFUSED, cells: ['None', '=', '=', '=', '=', '=', '='] },
  { row: 'create timeout, retransmit timer', event: TIME, cells: ['=', '=', '=', '=', '=', '=', '='] },
  { row: 'the application sends', event: submit('new'), cells: ['=', '=', '!', '!', '!', '!', '!'] },
  { row: 'acknowledgement, not final', event: acknowledged(1), cells: ['!', '=', '=', '=', '=', '=', '='] },
  { row: 'acknowledgement, final', event: acknowledged(1, { final: true }), cells: ['!', 'Closed', 'Closed', 'Closed', '=', '=', '='] },
  { row: 'Nack', event: { kind: 'acknowledged', spans: [], nacks: [1], final: false }, cells: ['!', '=', '=', '=', '=', '=', '='] },
  { row: 'MessageNumberRollover fault', event: fault('MessageNumberRollover'), cells: ['=', 'Rollover', '=', '=', '=', '=', '='] },
  { row: 'SequenceClosed fault; CloseSequence from the Destination', event: fault('SequenceClosed'), cells: ['=', 'Closed', 'Closed', 'Closed', '=', '=', '='] },
  { row: 'the application closes', event: CLOSE, cells: ['=', 'Closing', 'Closing', '=', '=', '=', '='] },
  { row: 'CloseSequenceResponse', event: CLOSED, cells: ['!', '=', '=', 'Closed', '=', '=', '='] },
  { row: 'TerminateSequenceResponse', event: terminated('answer'), cells: ['!', '=', '=', '=', '=', 'None', '='] },
  { row: 'TerminateSequence from the Destination', event: terminated('peer'), cells: ['!', 'None', 'None', 'None', 'None', 'None', '='] },
  { row: 'UnknownSequence fault', event: fault('UnknownSequence'), cells: ['=', 'None', 'None', 'None', 'None', 'None', '='] },
  { row: 'SequenceTerminated fault', event: fault('SequenceTerminated'), cells: ['=', 'None', 'None', 'None', 'None', 'None', '='] },
  { row: 'Expires passed', event: TIME, later: 2 * HOUR, expiresMs: HOUR, cells: ['None', 'None', 'None', 'None', 'None', 'None', '='] },
]

export const DESTINATION_STATES = ['None', 'Created', 'Rollover', 'Closed', 'Terminated'] as const
export const DESTINATION_MEANS: Readonly<Record<(typeof DESTINATION_STATES)[number], readonly DestinationState[]>> = { None: ['none', 'ended'], Created: ['open'], Rollover: ['full'], Closed: ['closed'], Terminated: ['ended'] }
export const DESTINATION_WAY: Readonly<Record<(typeof DESTINATION_STATES)[number], readonly DestinationEvent[]>> = {
  None: [], Created: [made(), message(1)], Rollover: [made(), message(1), message(HUGE)], Closed: [made(), message(1), closing(1)], Terminated: [made(), message(1), terminating(1)],
}
/** `answer` is what goes out on the exchange of the event, by state; '' is nothing. */
export const DESTINATION_ROWS: readonly { readonly row: string; readonly event: DestinationEvent; readonly later?: number; readonly cells: readonly string[]; readonly answers?: readonly string[] }[] = [
  //                                                                             None     Created  Rollover Closed Terminated
  { row: 'CreateSequence accepted, or repeated', event: made(), cells: ['Created', '=', '=', '=', '!'] },
  { row: 'message, new', event: message(2), cells: ['!', '=', '=', '=', '='], answers: ['', 'acknowledgement', 'acknowledgement', 'SequenceClosed', 'UnknownSequence'] },
  { row: 'message, duplicate', event: message(1), cells: ['!', '=', '=', '=', '='], answers: ['', 'acknowledgement', 'acknowledgement', 'acknowledgement', 'UnknownSequence'] },
  { row: 'message above the limit', event: message(HUGE), cells: ['!', 'Rollover', '=', '=', '='], answers: ['', 'MessageNumberRollover', 'MessageNumberRollover', 'SequenceClosed', 'UnknownSequence'] },
  { row: 'AckRequested', event: asked, cells: ['!', '=', '=', '=', '='], answers: ['', 'acknowledgement', 'acknowledgement', 'acknowledgement', 'UnknownSequence'] },
  { row: 'the application took a message', event: consumed(1), cells: ['!', '=', '=', '=', '='], answers: ['', '', '', '', ''] },
  { row: 'CloseSequence', event: closing(1), cells: ['!', 'Closed', 'Closed', '=', '='], answers: ['', 'close-sequence-response', 'close-sequence-response', 'close-sequence-response', 'close-sequence-response'] },
  { row: 'TerminateSequence', event: terminating(1), cells: ['!', 'Terminated', 'Terminated', 'Terminated', '='], answers: ['', 'terminate-sequence-response', 'terminate-sequence-response', 'terminate-sequence-response', 'terminate-sequence-response'] },
  { row: 'Close or Terminate with a last number that contradicts', event: terminating(7_000), cells: ['!', 'Terminated', 'Terminated', 'None', '='], answers: ['', 'terminate-sequence-response', 'terminate-sequence-response', 'SequenceTerminated', 'terminate-sequence-response'] },
  { row: 'Expires or inactivity passed', event: PASSED, later: HOUR, cells: ['=', 'None', 'None', 'None', '='], answers: ['', '', '', '', ''] },
]
