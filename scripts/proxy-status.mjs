// Called by scripts/proxy-status: reads one value of Proxy-Status by structured-headers, and prints it as JSON, with the types.
import { Token, parseList, serializeList } from "structured-headers";

const typed = (value) => {
  if (value instanceof Token) return ["token", value.toString()];
  if (typeof value === "string") return ["string", value];
  if (Number.isInteger(value)) return ["integer", value];
  throw new Error(`${value} has no place here`);
};

const read = (field) => {
  const members = parseList(field);
  if (serializeList(members) !== field) throw new Error(`it would be written ${serializeList(members)}`);
  return members.map(([name, parameters]) => [...typed(name), [...parameters].map(([key, value]) => [key, ...typed(value)])]);
};

try {
  console.log(JSON.stringify(read(process.argv[2])));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
