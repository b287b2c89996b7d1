/**
 * The floors of the house (docs/architecture.md): a file imports lower floors; on its own floor only what is listed beside it.
 * One door per foreign package. No circles. Type imports count.
 */

/** Floor by file, first match wins. `rooms` are files of one floor that may know each other. */
const FLOORS = [
  { floor: 6, room: 'faces', files: ['index', 'client', 'conversation', 'service', 'message', 'decode', 'bootstraps', 'gate', 'sealed', 'checks', 'answer', 'confirmations', 'establish', 'issue', 'inbox', 'outward', 'recovery'] },
  { floor: 5, room: 'runtime', files: ['rm/engine', 'rm/engine-[^/]+', 'sct/manager', 'sct/shelf', 'sct/flight', 'sct/answers', 'sct/authority'] },
  // The contract that stores fulfil is words without I/O: machines name what is to be written, so it lies below them.
  { floor: 0, room: 'facts', files: ['errors', 'options', 'clock', 'observe', 'tap', 'profiles/[^/]+', 'spec/[^/]+', 'store/store'] },
  { floor: 4, room: 'keeping', files: ['serializer/[^/]+', 'store/[^/]+'] },
  { floor: 4, room: 'transport', files: ['transport/[^/]+'] },
  { floor: 3, room: 'wire', files: ['wire'] },
  { floor: 3, room: 'soap', files: ['soap/[^/]+'] },
  { floor: 3, room: 'wss', files: ['wss/[^/]+'] },
  { floor: 2, room: 'rm', files: ['rm/[^/]+'] },
  { floor: 2, room: 'sct', files: ['sct/[^/]+'] },
  { floor: 1, room: 'xml', files: ['xml/[^/]+'] },
  { floor: 1, room: 'crypto', files: ['crypto/[^/]+'] },
]
/** Rooms of one floor that know each other, beside what each knows of itself. */
const BESIDE = [
  ['wire', 'soap'], ['wire', 'wss'],
  // The words of a message carry whose token covered it.
  ['rm', 'sct'],
]

const pattern = (files) => `^src/(${files.join('|')})[.]ts$`
// dependency-cruiser has no "first match": what an earlier row took is left out of a later one.
const rooms = FLOORS.map((row, at) => ({ ...row, path: pattern(row.files), pathNot: FLOORS.slice(0, at).map((earlier) => pattern(earlier.files)) }))
const where = ({ path, pathNot }) => ({ path, ...(pathNot.length === 0 ? {} : { pathNot }) })

const upward = rooms.flatMap((from) => rooms
  .filter((to) => to.floor > from.floor || (to.floor === from.floor && to.room !== from.room && !BESIDE.some(([a, b]) => a === from.room && b === to.room)))
  .map((to) => ({
    name: `floor-${from.floor}-${from.room}-knows-no-${to.room}`, severity: 'error',
    comment: `${from.room} is on floor ${from.floor}, ${to.room} on floor ${to.floor}`, from: where(from), to: where(to),
  })))

/** Borders inside what the floors would allow. */
const borders = [
  {
    name: 'words-and-outside-are-strangers', severity: 'error', comment: 'floors 3 and 4 do not know each other',
    from: { path: '^src/(serializer|store|transport)/' }, to: { path: '^src/(wire|(soap|wss)/[^/]+)[.]ts$' },
  },
  {
    name: 'no-xml-in-machines-and-runtime', severity: 'error', comment: 'the machines, the engine and the manager know no XML: the faces hand them plain functions',
    from: { path: '^src/(rm|sct|store|serializer|transport)/' }, to: { path: '^src/(xml|soap|wss)/|^src/wire[.]ts$' },
  },
  {
    name: 'machines-hold-no-clock', severity: 'error', comment: 'a machine is told what time it is (D1)',
    from: { path: '^src/rm/(source|destination|poller|ranges|turn)|^src/sct/(lifecycle|issuer|token)' }, to: { path: '^src/clock[.]ts$' },
  },
  {
    name: 'wings-are-not-imported', severity: 'error', comment: 'the command and the test suites use the house, not the other way round',
    from: { pathNot: '^src/(cli|testing)/' }, to: { path: '^src/(cli|testing)/' },
  },
  {
    name: 'cli-uses-the-front-door', severity: 'error', comment: 'the command is written with the public names, decode, and the tap',
    from: { path: '^src/cli/' }, to: { path: '^src/', pathNot: '^src/(cli/|(index|decode|wire|tap|options|errors)[.]ts$|(wss/open|store/sqlite)[.]ts$|profiles/|spec/)' },
  },
  {
    name: 'every-file-has-a-floor', severity: 'error', comment: 'a new file is placed in .dependency-cruiser.cjs and docs/architecture.md',
    from: { path: '^src/' }, to: { path: '^src/', pathNot: [...FLOORS.map((row) => pattern(row.files)), '^src/(cli|testing)/'] },
  },
]

/** Foreign package -> its door. A type import of KeyObject is no use of a package. */
const DOORS = [
  ['saxes', 'xml/reader'],
  ['@xmldom/xmldom', 'xml/dom'],
  ['xpath', 'xml/dom'],
  ['xml-crypto', 'wss/rsa'],
  ['uuid', 'crypto/random'],
  ['undici', 'transport/[^/]+'],
]
const CORE_DOORS = [
  ['crypto', '(crypto/[^/]+|serializer/seal)'],
  ['sqlite', 'store/sqlite'],
  ['https?|http2|net|tls|dns', 'transport/[^/]+'],
  ['fs|fs/promises|path|os|child_process', '(cli/[^/]+|testing/[^/]+|serializer/keyring|store/sqlite)'],
  ['timers|timers/promises|perf_hooks', '(clock|testing/[^/]+)'],
]
const doors = [
  ...DOORS.map(([name, door]) => ({
    name: `one-door-for-${name}`, severity: 'error', comment: `${name} is imported by ${door} alone`,
    from: { path: '^src/', pathNot: `^src/${door}[.]ts$` }, to: { path: `(^|node_modules/)${name.replaceAll('/', '[/]')}(/|$)`, dependencyTypesNot: ['local'] },
  })),
  ...CORE_DOORS.map(([name, door]) => ({
    name: `one-door-for-node:${name}`, severity: 'error', comment: `node:${name} is imported by ${door} alone`,
    from: { path: '^src/', pathNot: `^src/${door}[.]ts$` }, to: { path: `^(node:)?(${name})$`, dependencyTypes: ['core'], dependencyTypesNot: ['type-only'] },
  })),
  {
    name: 'no-other-package', severity: 'error', comment: 'src uses the dependencies that package.json lists, nothing else',
    from: { path: '^src/' }, to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'npm-optional', 'npm-peer'] },
  },
]

module.exports = {
  forbidden: [
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'nothing-missing', severity: 'error', from: {}, to: { couldNotResolve: true } },
    ...upward, ...borders, ...doors,
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    // No package types and no `exportsFields` surprises: what Node would load is what counts.
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['node', 'import', 'default'] },
  },
}
