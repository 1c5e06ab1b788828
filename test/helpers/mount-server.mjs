// A process that mounts the sample and serves it: for tests that kill a server, end it without unmounting, or run it as another user.
// Argument: JSON of { root, driver, source, options }. Prints `mounted`; SIGTERM unmounts lazily, SIGUSR2 exits at once.
const { root, driver, source, options } = JSON.parse(process.argv[2]);
const { mountDriver } = await import(`${root}/dist/lib/mount/drivers.js`);
process.on('SIGUSR2', () => process.exit(5));
try {
  const mounted = await mountDriver(driver).mount(source, { ...options, onLog: (message) => console.error(message) });
  process.on('SIGTERM', () => mounted.unmount({ lazy: true }));
  mounted.finished.then(
    () => console.log('finished'),
    (error) => {
      console.error(error.message);
      process.exitCode = 9;
    },
  );
  console.log('mounted');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
