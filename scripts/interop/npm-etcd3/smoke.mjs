// What a program in JavaScript does with a cluster, by the npm client `etcd3`: each test is one habit, under a prefix of its own.
// Run by npm-etcd3.sh with ENDPOINTS; the last test turns access control on and off again, so the order is the file's.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';

// The client is installed where the script says, not beside this file.
const { Etcd3, EtcdLockFailedError, EtcdAuthenticationFailedError } = createRequire(process.env.MODULES)('etcd3');

const hosts = process.env.ENDPOINTS.split(',');
const client = new Etcd3({ hosts });
after(() => client.close());
let last = 0;
const fresh = () => client.namespace(`smoke/${(last += 1)}/`);
const deadline = { timeout: 30_000 };

test('put, get, overwrite, delete', deadline, async () => {
  const space = fresh();
  await space.put('a').value('1');
  assert.equal(await space.get('a').string(), '1');
  const before = await space.put('a').value('2').getPrevious();
  assert.equal(before.value.toString(), '1');
  assert.equal(await space.get('a').number(), 2);
  assert.equal((await space.delete().key('a')).deleted, '1');
  assert.equal(await space.get('a').string(), null);
  assert.equal(await space.get('a').exists(), false);
});

test('bytes that are no text, and an empty value', deadline, async () => {
  const space = fresh();
  const bytes = Buffer.from([0, 255, 254, 128, 10, 0]);
  await space.put(bytes).value(bytes);
  assert.deepEqual(await space.get(bytes).buffer(), bytes);
  await space.put('empty').value('');
  assert.equal(await space.get('empty').string(), '');
});

test('a prefix: keys, count, limit, order, deletion with what was there', deadline, async () => {
  const space = fresh();
  for (const name of ['b', 'd', 'a', 'c']) await space.put(`list/${name}`).value(name.toUpperCase());
  const all = space.getAll().prefix('list/');
  assert.deepEqual(await all.keys(), ['list/a', 'list/b', 'list/c', 'list/d']);
  assert.equal(await space.getAll().prefix('list/').count(), 4);
  const down = await space.getAll().prefix('list/').sort('Key', 'Descend').limit(2).keys();
  assert.deepEqual(down, ['list/d', 'list/c']);
  const byAge = await space.getAll().prefix('list/').sort('Create', 'Ascend').keys();
  assert.deepEqual(byAge, ['list/b', 'list/d', 'list/a', 'list/c']);
  const gone = await space.delete().prefix('list/').getPrevious();
  assert.deepEqual(gone.map((each) => each.value.toString()), ['A', 'B', 'C', 'D']);
});

test('reading at an old revision', deadline, async () => {
  const space = fresh();
  const first = await space.put('a').value('old');
  await space.put('a').value('new');
  assert.equal(await space.get('a').revision(first.header.revision).string(), 'old');
  assert.equal(await space.get('a').serializable(true).exists(), true);
});

test('a transaction takes one branch', deadline, async () => {
  const space = fresh();
  const claim = () =>
    space.if('owner', 'Create', '==', 0).then(space.put('owner').value('me')).else(space.get('owner')).commit();
  assert.equal((await claim()).succeeded, true);
  const second = await claim();
  assert.equal(second.succeeded, false);
  assert.equal(second.responses[0].response_range.kvs[0].value.toString(), 'me');
  const both = await space
    .if('owner', 'Value', '==', 'me').and('owner', 'Version', '>', 1).then(space.delete().key('owner')).commit();
  assert.equal(both.succeeded, false);
});

test('software transactions: 40 additions by 8 at once are 40', deadline, async () => {
  const space = fresh();
  await space.put('sum').value('0');
  const add = () => space.stm({ retries: 200 }).transact(async (step) => {
    await step.put('sum').value((await step.get('sum').number()) + 1);
  });
  await Promise.all(Array.from({ length: 8 }, async () => { for (let i = 0; i < 5; i += 1) await add(); }));
  assert.equal(await space.get('sum').number(), 40);
});

test('a watch tells puts and deletes in order, from an old revision on', deadline, async () => {
  const space = fresh();
  const first = await space.put('w/a').value('1');
  await space.put('w/b').value('2');
  const watcher = await space.watch().prefix('w/').startRevision(first.header.revision).withPreviousKV().create();
  const seen = [];
  const four = new Promise((resolve, reject) => {
    const note = (text) => { seen.push(text); if (seen.length === 4) resolve(); };
    watcher.on('put', (kv, before) => note(`put ${kv.key}=${kv.value} was ${before?.value ?? ''}`));
    watcher.on('delete', (kv, before) => note(`delete ${kv.key} was ${before.value}`));
    watcher.on('error', reject);
  });
  await space.put('w/a').value('3');
  await space.delete().key('w/b');
  await four;
  await watcher.cancel();
  assert.deepEqual(seen, ['put w/a=1 was ', 'put w/b=2 was ', 'put w/a=3 was 1', 'delete w/b was 2']);
});

test('a cancelled watch tells nothing more, the others on its stream go on', deadline, async () => {
  const space = fresh();
  const quiet = await space.watch().key('k').create();
  const awake = await space.watch().key('k').create();
  quiet.on('put', () => assert.fail('told after its end'));
  await quiet.cancel();
  const told = once(awake, 'put');
  await space.put('k').value('1');
  await told;
  await awake.cancel();
});

test('a lease: its keys go with it, revoked or run out', deadline, async () => {
  const space = fresh();
  const lease = space.lease(60);
  await lease.put('held').value('1');
  assert.equal(await space.get('held').string(), '1');
  const renewed = await lease.keepaliveOnce();
  assert.equal(renewed.TTL, '60');
  await lease.revoke();
  assert.equal(await space.get('held').string(), null);

  const short = space.lease(1, { autoKeepAlive: false });
  const watcher = await space.watch().key('short').create();
  const gone = once(watcher, 'delete');
  await short.put('short').value('1');
  await gone;
  await watcher.cancel();
});

test('a lease that the client keeps alive outlives its time', deadline, async () => {
  const space = fresh();
  const lease = space.lease(2);
  await lease.put('alive').value('1');
  for (let renewals = 0; renewals < 5; renewals += 1) await once(lease, 'keepaliveSucceeded');
  assert.equal(await space.get('alive').string(), '1');
  await lease.revoke();
});

test('a lock is held by one', deadline, async () => {
  const space = fresh();
  const lock = await space.lock('door').ttl(10).acquire();
  await assert.rejects(space.lock('door').ttl(10).acquire(), EtcdLockFailedError);
  await lock.release();
  let inside = 0;
  await space.lock('door').do(() => { inside += 1; });
  assert.equal(inside, 1);
});

test('an election: one leads, proclaims, resigns, the next leads', deadline, async () => {
  const election = fresh().election('chair', 5);
  const first = election.campaign('first');
  await once(first, 'elected');
  const second = election.campaign('second');
  assert.equal(await election.leader(), 'first');
  const observer = await election.observe();
  const changed = once(observer, 'change');
  await first.proclaim('first, again');
  assert.deepEqual(await changed, ['first, again']);
  const succeeded = once(second, 'elected');
  await first.resign();
  await succeeded;
  assert.equal(await election.leader(), 'second');
  await second.resign();
  await observer.cancel();
});

test('a large value, and one too large', deadline, async () => {
  const space = fresh();
  const large = Buffer.alloc(1_400_000, 'x');
  await space.put('large').value(large);
  assert.equal((await space.get('large').buffer()).length, large.length);
  await assert.rejects(space.put('larger').value(Buffer.alloc(3_000_000, 'x')).exec());
});

test('the members and their states', deadline, async () => {
  const { members } = await client.cluster.memberList({});
  assert.equal(members.length, hosts.length);
  const status = await client.maintenance.status();
  assert.notEqual(status.leader, '0');
  assert.match(status.version, /^3\.\d+\.\d+/);
});

test('users and roles', deadline, async () => {
  const space = fresh();
  const root = await client.user('root').create('root-password');
  await root.addRole('root').catch(async () => root.addRole(await client.role('root').create()));
  const role = await client.role('reader').create();
  await role.grant({ permission: 'Read', range: client.range({ prefix: `${space.prefix}` }) });
  await space.put('a').value('1');
  const user = await client.user('ann').create('ann-password');
  await user.addRole(role);
  await client.auth.authEnable();
  const asRoot = new Etcd3({ hosts, auth: { username: 'root', password: 'root-password' } });
  const asAnn = new Etcd3({ hosts, auth: { username: 'ann', password: 'ann-password' } });
  const asNobody = new Etcd3({ hosts, auth: { username: 'ann', password: 'wrong' } });
  try {
    const key = `${space.prefix}a`;
    assert.equal(await asAnn.get(key).string(), '1');
    await assert.rejects(asAnn.put(key).value('2').exec(), /permission denied/);
    await assert.rejects(asAnn.get('elsewhere').string(), /permission denied/);
    await assert.rejects(asNobody.get(key).string(), EtcdAuthenticationFailedError);
    await assert.rejects(client.get(key).string(), /user name is empty/);
    await asRoot.put(key).value('3');
    assert.equal(await asAnn.get(key).string(), '3');
  } finally {
    await asRoot.auth.authDisable();
    for (const each of [asRoot, asAnn, asNobody]) each.close();
  }
});
