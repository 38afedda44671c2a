// Runs one of a client's scenarios by name and prints what it returns, or the error, as JSON.
export async function run(scenarios) {
  let outcome;
  try {
    outcome = { result: await scenarios[process.argv[2]](JSON.parse(process.argv[3])) };
  } catch (error) {
    outcome = { error: { type: error.constructor.name, status: error.status ?? error.statusCode, message: error.message } };
  }
  console.log(JSON.stringify(outcome));
}
