export class Enrol {}
