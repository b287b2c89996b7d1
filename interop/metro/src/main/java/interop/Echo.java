package interop;

import jakarta.jws.Oneway;
import jakarta.jws.WebMethod;
import jakarta.jws.WebParam;
import jakarta.jws.WebService;
import jakarta.jws.soap.SOAPBinding;
import jakarta.xml.ws.Action;
import java.util.List;

/** The application of a scenario that tells. */
@WebService(name = "Echo", targetNamespace = Wsdl.NAMESPACE)
@SOAPBinding(parameterStyle = SOAPBinding.ParameterStyle.BARE)
public interface Echo extends Asking {
  String NOTE = "urn:example:interop/Note";

  @Oneway
  @WebMethod(operationName = "note", action = NOTE)
  @Action(input = NOTE)
  void note(@WebParam(name = "note", targetNamespace = Wsdl.NAMESPACE, partName = "body") String text);

  /** Keeps what it is told too. */
  @WebService(endpointInterface = "interop.Echo", serviceName = "EchoService", portName = "EchoPort", targetNamespace = Wsdl.NAMESPACE)
  final class Recorder extends Asking.Recorder implements Echo {
    Recorder(List<String> texts) {
      super(texts);
    }

    @Override
    public void note(String text) {
      texts.add(text);
    }
  }
}
