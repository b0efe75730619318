// The clients of Node in scripts/grpc: @grpc/grpc-js, and connect-node's transport for gRPC.
import * as grpc from "@grpc/grpc-js";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { create, createFileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

const [address, ...names] = process.argv.slice(2);
const KINDS = ["unary", "server", "client", "bidi"];
const tell = (client, kind, name, code, text, seen, start) =>
  console.log(JSON.stringify([client, kind, name, code, text, seen, Math.round(performance.now() - start)]));

const same = (data) => data;
function grpcJs(kind, name) {
  return new Promise((resolve) => {
    const start = performance.now();
    const client = new grpc.Client(address, grpc.credentials.createInsecure(), { "grpc.enable_retries": 0, "grpc.enable_http_proxy": 0 });
    const path = `/t.T/${name}`;
    const options = { deadline: Date.now() + 5000 };
    let seen = 0;
    let ended = false;
    const end = (code, text) => {
      if (ended) return;
      ended = true;
      tell("grpc-js", kind, name, code, text, seen, start);
      client.close();
      resolve();
    };
    const answered = (error) => (error ? end(error.code, error.details) : end(0, ""));
    const asked = Buffer.from("abc");
    if (kind === "unary") {
      client.makeUnaryRequest(path, same, same, asked, new grpc.Metadata(), options, answered);
    } else if (kind === "client") {
      const call = client.makeClientStreamRequest(path, same, same, new grpc.Metadata(), options, answered);
      call.write(asked);
      call.end();
    } else {
      const call = kind === "server"
        ? client.makeServerStreamRequest(path, same, same, asked, new grpc.Metadata(), options)
        : client.makeBidiStreamRequest(path, same, same, new grpc.Metadata(), options);
      // Its side stays open until it has its answer.
      if (kind === "bidi") call.write(asked);
      call.on("data", () => (seen += 1));
      call.on("error", (error) => end(error.code, error.details));
      call.on("end", () => {});
      call.on("status", (status) => status.code === 0 && end(0, ""));
    }
  });
}

const file = create(FileDescriptorProtoSchema, {
  name: "t.proto",
  package: "t",
  syntax: "proto3",
  messageType: [{ name: "M", field: [] }],
  service: [{
    name: "T",
    method: KINDS.flatMap((kind) => names.map((name) => ({
      name: `${kind}_${name}`,
      inputType: ".t.M",
      outputType: ".t.M",
      clientStreaming: kind === "client" || kind === "bidi",
      serverStreaming: kind === "server" || kind === "bidi",
    }))),
  }],
});
const service = createFileRegistry(file, () => undefined).getService("t.T");
// The path ends in the name of the fault; the kind is known by the method alone.
const interceptor = (next) => (request) => next({ ...request, url: request.url.replace(/\/(unary|server|client|bidi)_/, "/") });
const transport = createGrpcTransport({
  baseUrl: `http://${address}`,
  interceptors: [interceptor],
  defaultTimeoutMs: 5000,
  // What is in the messages is of no interest.
  binaryOptions: { readUnknownFields: false },
});

async function connect(kind, name) {
  const start = performance.now();
  const client = createClient(service, transport);
  const method = service.method[service.methods.find((method) => method.name === `${kind}_${name}`).localName];
  const call = client[method.localName];
  let answered;
  const answer = new Promise((resolve) => (answered = resolve));
  // In a bidirectional call the caller's side stays open until it has its answer.
  const one = async function* () {
    yield {};
    if (kind === "bidi") await answer;
  };
  let seen = 0;
  let [code, text] = [0, ""];
  try {
    if (kind === "unary") await call({});
    else if (kind === "client") await call(one());
    else for await (const _ of kind === "server" ? call({}) : call(one())) seen += 1;
  } catch (error) {
    [code, text] = [error.code ?? -1, error.rawMessage ?? String(error)];
  }
  answered();
  tell("connect-node", kind, name, code, text, seen, start);
}

for (const name of names) {
  for (const kind of KINDS) {
    await grpcJs(kind, name);
    await connect(kind, name);
  }
}
process.exit(0);
