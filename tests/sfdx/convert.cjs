// node convert.cjs SOURCE TARGET: puts source format into the form that is deployed, and prints its package.xml.
// Salesforce's own library for what `sf project deploy start` does before it calls the org. It knows kinds, suffixes and
// folders, and reads no contents.
const { ComponentSet, MetadataConverter } = require("@salesforce/source-deploy-retrieve");

(async () => {
    const [source, target] = process.argv.slice(2);
    const components = ComponentSet.fromSource(source);
    components.sourceApiVersion = "66.0"; // without it, the library would ask the network
    await new MetadataConverter().convert(components, "metadata", {
        type: "directory",
        outputDirectory: target,
        genUniqueDir: false,
    });
    process.stdout.write(await components.getPackageXml());
})();
