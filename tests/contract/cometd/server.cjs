// The CometD project's own server with Salesforce's manners on top: a log-in, stored events with replay ids, and its
// error words. Its protocol is not ours: sessions, polls, advice and delivery are those of cometd-nodejs-server.
//
// node server.cjs PORT FILE TIMEOUT_MS MAX_INTERVAL_MS; says its port. FILE keeps the events, so that they outlive it.
// POST /control/WORD is for the test: publish, expire_tokens, drop_sessions, forget, refuse, advise, stats.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const { createCometDServer } = require('cometd-nodejs-server');

const [port, file, timeout, maxInterval] = process.argv.slice(2);
const cometd = createCometDServer({ timeout: Number(timeout), maxInterval: Number(maxInterval), sweepPeriod: 50 });

let stored = []; // {channel, replayId, data}, oldest first
let events = 0;
let token = crypto.randomUUID();
let refusals = []; // {channel, times, reply}
let advised = { times: 0, advice: {} }; // to be put on the answers of the next polls
const counts = { token: 0, sessions: 0, delivered: 0 };

if (fs.existsSync(file)) {
    stored = fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
    events = stored.length;
}

// Events -----------------------------------------------------------------------------------------------------------

function change(number, size) {
    return {
        schema: 'IeRuaY6cbI_HsV8Rv1Mc5g',
        payload: {
            ChangeEventHeader: {
                entityName: 'Patient__c',
                recordIds: ['a0P' + String(number).padStart(12, '0')],
                changeType: 'CREATE',
                changeOrigin: '',
                transactionKey: crypto.randomUUID(),
                sequenceNumber: 1,
                commitTimestamp: Date.now(),
                commitNumber: 10000000 + number,
                commitUser: '005000000000009AAA',
            },
            First_Name__c: 'Sample',
            Last_Name__c: `Person ${number}`,
            Presenting_Concerns__c: 'x'.repeat(size),
        },
    };
}

function publish(channel, datas) {
    const fresh = datas.map((data) => {
        events += 1;
        const replayId = 1000 + events * 3; // ids have holes
        const whole = data && typeof data === 'object' && data.payload ? { ...data, event: { replayId } } : data;
        return { channel, replayId, data: whole };
    });
    // Stored before they are told, as a commit is.
    fs.appendFileSync(file, fresh.map((one) => JSON.stringify(one) + '\n').join(''));
    for (const one of fresh) stored.push(one);
    const known = cometd.getServerChannel(channel);
    for (const session of known ? known.subscribers : []) deliver(session, fresh);
}

function deliver(session, some) {
    session.batch(() => some.forEach((one) => session.deliver(null, one.channel, one.data)));
    counts.delivered += some.length;
}

// What Salesforce adds to Bayeux -----------------------------------------------------------------------------------

const refused = new WeakMap(); // the reply that is to be made a refusal

function authorized(request) {
    const shown = request && request.headers.authorization;
    return [`Bearer ${token}`, `OAuth ${token}`].includes(shown); // Salesforce takes either word
}

function refusal(message) {
    const planned = refusals.find((one) => one.channel === message.channel && one.times > 0);
    if (planned) {
        planned.times -= 1;
        return planned.reply;
    }
    if (!authorized(cometd.context.request)) {
        return message.channel === '/meta/handshake'
            ? {
                  error: '403::Handshake denied',
                  ext: { sfdc: { failureReason: '401::Authentication invalid' }, replay: true },
                  advice: { reconnect: 'none' },
              }
            : { error: '401::Authentication invalid', advice: { reconnect: 'none', interval: 0 } };
    }
    if (message.channel === '/meta/subscribe') {
        const from = replayOf(message);
        if (from !== -1 && from !== -2 && !stored.some((one) => one.replayId === from)) {
            return {
                error:
                    `400::The replayId {${from}} you provided was invalid.  Please provide a valid ID, -2 to replay all ` +
                    'events, or -1 to replay only new events.',
            };
        }
    }
    return null;
}

function replayOf(message) {
    const replay = message.ext && message.ext.replay ? message.ext.replay[message.subscription] : undefined;
    return replay === undefined || replay === null ? -1 : replay;
}

cometd.addExtension({
    incoming: (_server, _session, message, done) => {
        const why = refusal(message);
        if (why) refused.set(message.reply, why);
        done(undefined, !why);
    },
    outgoing: (_server, _sender, _session, message, done) => {
        const why = refused.get(message);
        if (why) Object.assign(message, { successful: false }, why);
        if (String(message.error).startsWith('402')) message.error = '403::Unknown client';
        if (message.channel === '/meta/handshake' && message.successful) message.ext = { replay: true };
        if (message.channel === '/meta/connect' && advised.times > 0) {
            advised.times -= 1;
            message.advice = advised.advice;
        }
        done(undefined, true);
    },
});

cometd.addListener('sessionAdded', () => {
    counts.sessions += 1;
});
cometd.addListener('subscribed', (channel, session, message) => {
    const from = replayOf({ ...message, subscription: channel.name });
    const start = from === -2 ? 0 : from === -1 ? stored.length : stored.findIndex((one) => one.replayId === from) + 1;
    deliver(session, stored.slice(start).filter((one) => one.channel === channel.name));
});

// HTTP -------------------------------------------------------------------------------------------------------------

const sessions = new Map();
cometd.addListener('sessionAdded', (session) => sessions.set(session.id, session));
cometd.addListener('sessionRemoved', (session) => sessions.delete(session.id));

const control = {
    publish: ({ channel, count = 0, size = 20, datas = [] }) => {
        const first = events + 1;
        const made = Array.from({ length: count }, (_, index) => change(first + index, size));
        publish(channel, [...made, ...datas]);
        return { first, last: events };
    },
    expire_tokens: () => {
        token = crypto.randomUUID();
    },
    drop_sessions: () => [...sessions.values()].forEach((session) => session.disconnect()),
    forget: () => {
        stored = [];
    },
    refuse: (one) => {
        refusals.push(one);
    },
    advise: (one) => {
        advised = one;
    },
    stats: () => ({ ...counts, open: sessions.size, events }),
};

function grant(request) {
    counts.token += 1;
    return {
        access_token: token,
        token_type: 'Bearer',
        instance_url: `http://${request.headers.host}`,
        id: 'https://test.salesforce.com/id/00D000000000001EAA/005000000000001AAA',
    };
}

function answer(request, response, make) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
        response.setHeader('Content-Type', 'application/json');
        response.end(JSON.stringify(make(Buffer.concat(chunks).toString()) ?? {}));
    });
}

const server = http.createServer((request, response) => {
    if (request.url === '/services/oauth2/token') return answer(request, response, () => grant(request));
    const word = request.url.startsWith('/control/') ? request.url.slice('/control/'.length) : null;
    if (word) return answer(request, response, (body) => control[word](JSON.parse(body || '{}')));
    if (request.url.startsWith('/cometd/')) return cometd.handle(request, response);
    response.statusCode = 404;
    return response.end();
});
server.keepAliveTimeout = 60000;
server.listen(Number(port), '127.0.0.1', () => console.log(server.address().port));
