// A subscriber that others wrote: node receive.cjs cometd|jsforce URL TOKEN CHANNEL REPLAY COUNT
// Says each `subscribed`; after COUNT events one JSON object: their records, their replay ids, and the seconds between
// the handshake and the last of them.
'use strict';

const [kind, url, token, channel, replay, count] = process.argv.slice(2);
const records = [];
const replayIds = [];
const began = process.hrtime.bigint();

function received(message) {
    records.push(message.payload.ChangeEventHeader.recordIds[0]);
    replayIds.push(message.event.replayId);
    if (records.length < Number(count)) return;
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    process.stdout.write(JSON.stringify({ records, replayIds, seconds }) + '\n', () => process.exit(0));
}

function refused(why) {
    console.error(JSON.stringify(why));
    process.exit(1);
}

const clients = {
    cometd: () => {
        require('cometd-nodejs-client').adapt();
        const { CometD } = require('cometd');
        const client = new CometD();
        client.unregisterTransport('websocket');
        client.configure({
            url: `${url}/cometd/66.0`,
            requestHeaders: { Authorization: `Bearer ${token}` },
            appendMessageTypeToURL: false,
        });
        client.registerExtension('replay', {
            outgoing: (message) => {
                if (message.channel === '/meta/subscribe') {
                    message.ext = { ...message.ext, replay: { [message.subscription]: Number(replay) } };
                }
                return message;
            },
        });
        client.handshake((shaken) => {
            if (!shaken.successful) return refused(shaken);
            return client.subscribe(
                channel,
                (message) => received(message.data),
                (reply) => (reply.successful ? console.log('subscribed') : refused(reply)),
            );
        });
    },
    jsforce: () => {
        const jsforce = require('jsforce');
        const { StreamingExtension } = require('jsforce/lib/api/streaming');
        const connection = new jsforce.Connection({ instanceUrl: url, accessToken: token, version: '66.0' });
        const client = connection.streaming.createClient([new StreamingExtension.Replay(channel, Number(replay))]);
        client.subscribe(channel, received).then(() => console.log('subscribed'), refused);
    },
};
clients[kind]();
