// Reads [[place, module, kind, object], ...] and prints what the model of an object's kind has against its values: patterns,
// ranges, formats. A field that it does not know is the compiler's to find.

let given = "";
for await (const part of process.stdin) given += part;

/** The model's words, or undefined. */
const refusal = (Model, object) => {
  try {
    new Model(object).validate();
  } catch (error) {
    return error.message;
  }
};

for (const [place, module, kind, object] of JSON.parse(given)) {
  const { [kind]: Model } = await import(module);
  const told = refusal(Model, object);
  if (told !== undefined) console.log(`${place}: ${told}`);
  if (refusal(Model, {}) === undefined) console.log(`${module} lets a ${kind} pass that has nothing in it`);
}
