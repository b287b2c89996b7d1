import { expect, test } from 'vitest'
import { selectNodes, toDom } from '../../../src/xml/dom.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { vocabulary } from '../../../src/xml/writer.ts'

const o = vocabulary('o', 'urn:orders')
const xml = canonicalize(o('Order', { id: '7' }, o('Item', 'nut & <bolt>'), o('Item', o.attribute('n', '2'), 'washer\r\n'), vocabulary('', 'urn:other')('Note')))

test('xmldom reads our canonical text: names, namespaces, attributes and text come through', () => {
  const root = toDom(xml).documentElement
  expect([root.nodeName, root.localName, root.prefix, root.namespaceURI]).toEqual(['o:Order', 'Order', 'o', 'urn:orders'])
  expect(root.getAttribute?.('id')).toBe('7')
  expect(root.childNodes.length).toBe(3)
  expect(root.childNodes[0]?.textContent).toBe('nut & <bolt>')
  expect(root.childNodes[1]?.textContent).toBe('washer\r\n')
  expect(root.childNodes[1]?.getAttributeNS?.('urn:orders', 'n')).toBe('2')
  expect(root.childNodes[2]?.namespaceURI).toBe('urn:other')
})

test('xmldom writes a node back as XML that means the same', () => {
  const item = selectNodes(xml, '/x:Order/x:Item[1]', { x: 'urn:orders' })[0]
  expect(item?.toString()).toBe('<o:Item xmlns:o="urn:orders">nut &amp; &lt;bolt&gt;</o:Item>')
  expect(toDom(String(item)).documentElement.textContent).toBe('nut & <bolt>')
})

test('xpath selects by the namespaces given, whatever the prefix in the document', () => {
  const names = { x: 'urn:orders', other: 'urn:other' }
  expect(selectNodes(xml, '/x:Order/x:Item', names).map((node) => node.textContent)).toEqual(['nut & <bolt>', 'washer\r\n'])
  expect(selectNodes(xml, '//x:Item[@x:n="2"]/text()', names).map((node) => node.nodeValue)).toEqual(['washer\r\n'])
  expect(selectNodes(xml, '//other:Note', names)).toHaveLength(1)
  expect(selectNodes(xml, '//Item')).toHaveLength(0)
  expect(selectNodes(xml, '/x:Order/@id', names).map((node) => node.nodeValue)).toEqual(['7'])
})

test('xpath starts at the node that is given', () => {
  const root = toDom(xml).documentElement
  expect(selectNodes(root, 'x:Item[2]', { x: 'urn:orders' })[0]?.textContent).toBe('washer\r\n')
  expect(selectNodes(root.childNodes[1] ?? root, '..')[0]?.nodeName).toBe('o:Order')
})

test.each([
  ['//x:Item', 'a prefix that was not given'],
  ['//constructor:Item', 'a prefix that an object would have'],
  ['//[', 'an expression that is none'],
  ['count(//*)', 'an expression whose value is a number'],
  ['document("file:///etc/passwd")', 'a function that would open a file'],
])('the expression %s (%s) is a UsageError', (expression) => {
  expect(() => selectNodes(xml, expression)).toThrow(expect.objectContaining({ name: 'UsageError', code: 'ERR_XPATH' }))
})

test.each(['', 'text', '<a>', '<a></b>'])('a text that is no document is a UsageError: %j', (text) => {
  expect(() => toDom(text)).toThrow(expect.objectContaining({ name: 'UsageError', code: 'ERR_XML_MALFORMED' }))
})
